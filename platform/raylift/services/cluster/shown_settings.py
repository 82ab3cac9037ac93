"""Settings as admins see them: without secrets."""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from typing import Any, Final

import raylift
from raylift.settings import PlatformSettings

MASK: Final = "***"
_SECRET: Final = re.compile(r"secret|token|password|encryption_key(?!_file)", re.IGNORECASE)
_NAMES_A_FILE: Final = re.compile(r"_file$")
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^/@\s]*):[^/@\s]*@")


def shown_settings(settings: PlatformSettings) -> dict[str, Any]:
    """Return all settings as JSON values. Secrets, and passwords in addresses, are masked."""
    shown: dict[str, Any] = _masked(settings.model_dump(mode="json"))
    return shown


def versions() -> dict[str, str]:
    """Return the versions of the platform and of what it runs on."""
    engines = {name: version(name) for name in ("ray", "mlflow")}
    return {"raylift": raylift.__version__, "python": platform.python_version(), **engines}


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, key) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [_masked(item, name) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, str):
        return value
    if _SECRET.search(name) and not _NAMES_A_FILE.search(name):
        return MASK
    return _PASSWORD_IN_URL.sub(rf"\1:{MASK}@", value)
