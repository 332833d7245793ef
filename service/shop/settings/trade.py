"""What the shop sells in."""

from pydantic import BaseModel, Field


class TradeSettings(BaseModel):
    """The part of Settings that prices need."""

    currency: str = Field(
        "EUR",
        pattern=r"^[A-Z]{3}$",
        description="the currency (ISO 4217) of all prices, three capital letters",
    )
