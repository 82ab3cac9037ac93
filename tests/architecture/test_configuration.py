"""cluster_configs/local.yaml documents every setting and has the default values of the code."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from raylift.access_settings import OidcSettings, ReportSettings
from raylift.launcher.run.config import LocalConfig, load_config
from raylift.settings import (
    EnvironmentSettings,
    GatewaySettings,
    JobSettings,
    ObservabilitySettings,
    RetentionSettings,
    ServingSettings,
    SupervisorSettings,
)

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "cluster_configs" / "local.yaml").read_text(encoding="utf-8")
FILES = sorted(file for file in (ROOT / "cluster_configs").glob("*.yaml") if not file.name.startswith("ray-up-"))
"""Those of `ray up` are files of Ray (tests/unit/launcher/test_ray_up.py)."""
SECTIONS = {
    "oidc": OidcSettings,
    "reports": ReportSettings,
    "jobs": JobSettings,
    "serving": ServingSettings,
    "supervisor": SupervisorSettings,
    "gateway": GatewaySettings,
    "environments": EnvironmentSettings,
    "retention": RetentionSettings,
    "observability": ObservabilitySettings,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_file_has_the_defaults_of_the_code(section: str) -> None:
    written: dict[str, Any] = yaml.safe_load(TEXT)[section]
    assert written == SECTIONS[section]().model_dump(mode="json")


def test_every_setting_is_in_the_file_with_a_comment() -> None:
    lines = TEXT.splitlines()
    for name in leaf_names(LocalConfig):
        at = next((number for number, line in enumerate(lines) if line.strip().startswith(f"{name}:")), None)
        assert at is not None, f"{name} is not in local.yaml"
        assert "#" in lines[at] or explained_above(lines, at), f"{name} has no comment"


def test_every_setting_has_a_docstring_in_the_code() -> None:
    for section in SECTIONS.values():
        source = Path(inspect.getfile(section)).read_text(encoding="utf-8").splitlines()
        for name in section.model_fields:
            at = next(number for number, line in enumerate(source) if line.strip().startswith(f"{name}:"))
            assert source[at + 1].strip().startswith('"""'), f"{name} has no docstring"


def test_file_is_loaded_as_the_default_configuration() -> None:
    assert load_config().ports.gateway == 8000


def leaf_names(model: type[BaseModel]) -> list[str]:
    names: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        names += leaf_names(kind) if isinstance(kind, type) and issubclass(kind, BaseModel) else [name]
    return names


def explained_above(lines: list[str], at: int) -> bool:
    """True if a comment stands above the value, or above the first value of its section."""
    for line in reversed(lines[:at]):
        if line.strip().startswith("#") or "#" in line:
            return True
        if not line.strip():
            return False
    return False


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_configuration_loads(file: Path) -> None:
    config = load_config(file)
    assert (config.database is not None) == (file.name in {"postgresql.yaml", "high-availability.yaml"})
