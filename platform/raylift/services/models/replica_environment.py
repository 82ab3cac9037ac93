"""Environment variables of a version's replicas: those of the job that made it, without secrets, until somebody sets others."""

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
"""An address with a password in it, a private key, an authorization header."""
_OF_THE_MACHINE: Final = re.compile(
    r"_THREADS(?:_NUM)?$|^LOKY_MAX_CPU_COUNT$|^(?:HOME|TMPDIR|TEMP|TMP|PWD|USER|SHELL|LANG|TERM)$"
)
"""They say how the job's processes run on its machine, not what its model is."""


def job_variables(spec: JobSpec) -> dict[str, str]:
    """The job's variables that its model may need. Parameters are no secrets; of the others, those that look like one stay."""
    parameters = {*spec.params, *(spec.sweep.parameters if spec.sweep is not None else ())}
    return {
        name: value
        for name, value in spec.environment.items()
        if not is_reserved(name) and not _OF_THE_MACHINE.search(name) and (name in parameters or not _looks_secret(name, value))
    }


def changed(present: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """``present`` with variables set, or taken away where their value is None."""
    return {name: value for name, value in {**present, **changes}.items() if value is not None}


def check_environment(changes: Mapping[str, str | None], whole: Mapping[str, str]) -> Iterator[FieldError]:
    """Yield what is wrong with each variable that is set, and with all of them together."""
    yield from check_variables({name: value for name, value in changes.items() if value is not None})
    for error in check_total((), whole):
        yield FieldError("environment", error.detail.removeprefix("and environment together "))


def _looks_secret(name: str, value: str) -> bool:
    return _SECRET_NAME.search(name) is not None or _SECRET_VALUE.search(value) is not None
