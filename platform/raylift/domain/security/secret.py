"""A secret: a name and one or more environment variables. Values are written, and read only for an attempt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

SECRET_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
NAME_FORM: Final = "1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or an underscore"
MAX_SECRETS: Final = 16
"""Secrets of one job."""
MAX_SECRET_BYTES: Final = 32 * 1024
"""All variables of a secret together, so that Linux can start a script with all of its secrets."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret without its values."""

    workspace: str
    name: str
    variables: tuple[str, ...]
    """Names of the environment variables that it sets, sorted."""
    created_at: datetime
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True)
class SecretValues:
    """Variables of all secrets of a job. Of two secrets with the same variable, the later one counts."""

    variables: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
