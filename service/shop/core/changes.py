"""PATCH: a field that is left out stays as it is."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


def unchanged() -> Any:
    """The default of a field that may be left out.

    A factory, because a default would make null valid in the schema; nothing reads it, since which fields are
    set is what counts.
    """
    return Field(default_factory=lambda: None)


class Changes(BaseModel):
    """The base of what a PATCH reads: at least one field, and none that is not named."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _changes_something(self) -> "Changes":
        if not self.model_fields_set:
            raise ValueError(f"name at least one field that changes: {', '.join(type(self).model_fields)}")
        return self

    @property
    def values(self) -> dict[str, Any]:
        """The new values of the fields that change."""
        return self.model_dump(exclude_unset=True)
