"""Environment variables of replicas: by default those of the job that made the version, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from raylift.domain.errors import FieldError
from raylift.domain.job import JobSpec
from raylift.services.uploads.environment_variables import check_total, check_variables, is_reserved

_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:KEYS?|AUTH|PASS|PAT|PWD|DSN|SALT|JWT|COOKIE)(?:_|$)|KEY$|TOKEN(?!IZ)"
    r"|SECRET|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|AUTHORIZATION|CONN(?:ECTION)?_?STR",
    re.IGNORECASE,
)
_SECRET_VALUE: Final = re.compile(r"://[^/@\s]*@|-----BEGIN |^(?:Bearer|Basic) ")
"""URL with a password, private key, or authorization header."""
_MACHINE_VARIABLE: Final = re.compile(
    r"_THREADS(?:_NUM)?$|^LOKY_MAX_CPU_COUNT$|^(?:HOME|TMPDIR|TEMP|TMP|PWD|USER|SHELL|LANG|TERM)$"
)
"""Variables about the job's machine, not about the model."""


def job_variables(spec: JobSpec) -> dict[str, str]:
    """Return the job's variables that its model may need: parameters, and variables that do not look like secrets."""
    parameters = {*spec.params, *(spec.sweep.parameters if spec.sweep is not None else ())}
    return {
        name: value
        for name, value in spec.environment.items()
        if not is_reserved(name)
        and not _MACHINE_VARIABLE.search(name)
        and (name in parameters or not _looks_secret(name, value))
    }


def changed(present: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return ``present`` with variables set, or removed where the new value is None."""
    return {name: value for name, value in {**present, **changes}.items() if value is not None}


def check_environment(changes: Mapping[str, str | None], whole: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield errors of each variable to set, and of all variables together."""
    yield from check_variables({name: value for name, value in changes.items() if value is not None})
    for error in check_total((), whole):
        yield FieldError("environment", error.detail.removeprefix("and environment together "))


def _looks_secret(name: str, value: str) -> bool:
    return _SECRET_NAME.search(name) is not None or _SECRET_VALUE.search(value) is not None
