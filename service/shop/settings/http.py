"""How the service is reached over HTTP: names, origins, sizes."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


HostName = Annotated[
    str,
    Field(
        pattern=r"^(\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)$",
        max_length=253,
    ),
]
# As a browser writes it: no path, no "null", which every sandboxed page and every local file is.
Origin = Annotated[str, Field(pattern=r"^(\*|https?://[a-z0-9.\[\]:_-]+)$", max_length=260)]
HostNames = Annotated[tuple[HostName, ...], NoDecode, BeforeValidator(_comma_separated), Field(min_length=1)]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_comma_separated)]


class HttpSettings(BaseModel):
    """The part of Settings that HTTP needs."""

    allowed_hosts: HostNames = Field(
        ("*",),
        description="the host names requests may ask for, without ports, separated by commas; * for any, "
        "*.example.net for the names below it",
    )
    cors_origins: Origins = Field(
        (),
        description="the origins whose pages may call the service, such as https://shop.example.net, "
        "separated by commas; * for any, empty for none",
    )
    cors_credentials: bool = Field(
        False, description="true or false: whether pages may send cookies and credentials"
    )
    max_body_bytes: int = Field(
        1_048_576,
        ge=1024,
        le=104_857_600,
        description="the bytes of the largest request body, 1024 to 104857600",
    )

    @model_validator(mode="after")
    def _refuse_any_origin_with_credentials(self) -> "HttpSettings":
        if self.cors_credentials and "*" in self.cors_origins:
            raise ValueError(
                "SHOP_CORS_ORIGINS is * and SHOP_CORS_CREDENTIALS is true, which lets any page act for its "
                "visitor: name the origins, or set SHOP_CORS_CREDENTIALS to false."
            )
        return self
