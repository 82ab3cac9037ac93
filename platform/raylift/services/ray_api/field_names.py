"""Names that Ray's Jobs API has for the fields of an upload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from raylift.domain.errors import FieldError, InvalidRequest
from raylift.services.ray_api.packages import WORKING_DIR

METADATA_PREFIX: Final = "raylift."
TAG_PREFIX: Final = "raylift.tag."
SECRETS: Final = "secrets"
"""Names of secrets, separated by commas."""
METADATA_FIELDS: Final = (
    "experiment_name",
    "model_name",
    "timeout_seconds",
    "priority",
    "max_retries",
    "autolog",
    "deploy",
    "register",
    "torch_backend",
    "isolation",
    "network",
    SECRETS,
)
"""Fields of an upload that metadata keys set, each as ``raylift.<field>``."""
ENV_VARS: Final = "env_vars"

_NAMES: Final = {
    "resources.cpus": "entrypoint_num_cpus",
    "resources.memory": "entrypoint_memory",
    "resources.gpus": "entrypoint_num_gpus",
    "project": f"runtime_env.{WORKING_DIR}",
    "requirements": "runtime_env.pip",
    "script_content": "entrypoint",
    "args": "entrypoint",
    **{name: f"metadata.{METADATA_PREFIX}{name}" for name in METADATA_FIELDS},
}
_PREFIXES: Final = {"environment.": f"runtime_env.{ENV_VARS}.", "tags.": f"metadata.{TAG_PREFIX}"}


def refusal(errors: Sequence[FieldError]) -> InvalidRequest:
    """Build the error with Ray's field names. Its clients show only the text, so that has a line for each field."""
    named = [FieldError(_rays_name(error.field), error.detail, error.line, error.column) for error in errors]
    return InvalidRequest("\n".join(f"{error.field} {error.detail}{_position(error)}" for error in named), named)


def _rays_name(field: str) -> str:
    for prefix, name in _PREFIXES.items():
        if field.startswith(prefix):
            return name + field.removeprefix(prefix)
    stem, bracket, rest = field.partition("[")
    return _NAMES.get(stem, stem) + bracket + rest


def _position(error: FieldError) -> str:
    return "" if error.line is None else f" (line {error.line}, column {error.column or 1})"
