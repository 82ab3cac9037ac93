"""Wire schemas of ``/mlops/secrets``. No answer has a value."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SecretRequest(BaseModel):
    """Body of ``PUT /mlops/secrets/{name}``: either ``value`` or ``variables``."""

    # Errors must not repeat what was sent.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    value: Annotated[
        str | None, Field(min_length=1, repr=False, description="Value of one variable that has the name of the secret.")
    ] = None
    variables: Annotated[
        dict[str, str] | None, Field(min_length=1, repr=False, description="Environment variables by name.")
    ] = None

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if (self.value is None) == (self.variables is None):
            raise ValueError("give either value or variables")
        return self

    def variables_of(self, name: str) -> dict[str, str]:
        """Return the variables of the secret ``name``."""
        return {name: self.value} if self.value is not None else dict(self.variables or {})


class SecretView(BaseModel):
    """A secret without its values."""

    name: str
    variables: Annotated[list[str], Field(description="Names of the environment variables that it sets.")]
    created_at: datetime
    updated_at: datetime
    updated_by: str


class SecretList(BaseModel):
    secrets: Annotated[list[SecretView], Field(description="By name.")]
