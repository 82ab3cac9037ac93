"""Translation of ``pip`` and ``uv`` in a Ray client's runtime_env into requirements. Reads no file, loads no Ray."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from raylift.domain.errors import FieldError, InvalidRequest
from raylift.engines.environments.runtime_env import PLUGIN_NAME

_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_OWN_FIELDS: Final = ("pip", "uv")
_OPTIONS: Final = {"pip": "pip_install_options", "uv": "uv_pip_install_options"}
_IGNORED_FIELDS: Final = frozenset({"pip_check", "pip_version", "uv_check", "uv_version"})
"""Fields about Ray's own installation, which the platform replaces."""
_IGNORED_OPTIONS: Final = re.compile(
    r"--(no-cache(-dir)?|disable-pip-version-check|no-input|quiet|verbose|link-mode(=\w+)?|prefer-binary|compile-bytecode)|-[qv]+"
)
"""Options that do not change what is installed."""


def translate_runtime_env(runtime_env: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Split a runtime_env into its requirements and the rest.

    ``pip`` and ``uv`` may be a list of requirements, the text of a requirements file, or an object with ``packages``.

    Raises:
        InvalidRequest: it has an unsupported field (``conda``, both ``pip`` and ``uv``, installer options that select other
            packages); ``errors`` names it.
    """
    present = [name for name in (*_OWN_FIELDS, "conda") if runtime_env.get(name)]
    if "conda" in present:
        raise _refusal(
            "conda", "conda environments are not built here; give the packages as pip requirements: {'pip': ['pandas>=2']}"
        )
    if len(present) > 1:
        raise _refusal("pip", "give either pip or uv, not both: the packages are resolved together, by uv")
    if PLUGIN_NAME in runtime_env:
        raise _refusal(PLUGIN_NAME, "is set by the platform; give requirements as pip or uv")
    rest = {name: value for name, value in runtime_env.items() if name not in {*_OWN_FIELDS, "conda"}}
    requirements = tuple(_requirements(present[0], runtime_env[present[0]])) if present else ()
    return requirements, rest


def _requirements(field: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        _check_options(field, fields)
        field, value = f"{field}.packages", fields.get("packages") or []
    if isinstance(value, str):
        value = _lines(field, value)
    if not isinstance(value, list) or not all(isinstance(line, str) for line in cast("list[Any]", value)):
        raise _refusal(field, "has to be a list of requirements, or the text of a requirements file")
    for index, line in enumerate(cast("list[str]", value)):
        requirement = _COMMENT.sub("", line).strip()
        if requirement.startswith("-") or " --" in requirement:
            raise _refusal(
                f"{field}[{index}]",
                f"{requirement!r} has an option of an installer; a job has requirements only, and the package index is a "
                "setting of the platform",
            )
        if requirement:
            yield requirement


def _lines(field: str, text: str) -> list[str]:
    lines = text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines()
    if len(lines) == 1 and (lines[0].strip().endswith((".txt", ".in", ".toml")) or "/" in lines[0].split("@")[0]):
        raise _refusal(field, f"{lines[0]!r} is a path on your machine; send the requirements themselves")
    return lines


def _check_options(field: str, fields: Mapping[str, Any]) -> None:
    unknown = set(fields) - {"packages", _OPTIONS[field]} - _IGNORED_FIELDS
    if unknown:
        raise _refusal(f"{field}.{min(unknown)}", "is not a known field")
    for option in fields.get(_OPTIONS[field]) or ():
        if not _IGNORED_OPTIONS.fullmatch(str(option)):
            raise _refusal(
                f"{field}.{_OPTIONS[field]}",
                f"{option!r} cannot be honoured: environments are resolved and locked by the platform, with its own settings",
            )


def _refusal(field: str, detail: str) -> InvalidRequest:
    where = f"runtime_env.{field}"
    return InvalidRequest(f"{where}: {detail}", [FieldError(where, detail)])
