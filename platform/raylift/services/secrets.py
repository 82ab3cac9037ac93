"""Stores secrets, and checks the secrets that a job names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.security.secret import MAX_SECRET_BYTES, MAX_SECRETS, NAME_FORM, SECRET_NAME, Secret
from raylift.services.ports import Clock, utc_now
from raylift.services.uploads.environment_variables import check_variables
from raylift.store import Store


class SecretService:
    """Secrets of workspaces. Values come in and never go out. Each secret exists in its own workspace only."""

    def __init__(self, store: Store, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock

    def put(self, workspace: str, name: str, variables: Mapping[str, str], *, by: str) -> tuple[Secret, bool]:
        """Store a secret, or replace an existing one. Returns it, and True where it is new.

        Raises:
            InvalidRequest: the name, a variable or a value is invalid; no error repeats a value.
            SecretUnreadable: the platform has no key.
        """
        errors = list(_check(name, variables))
        if errors:
            raise InvalidRequest.of(*errors)
        return self._store.secrets.put(workspace, name, variables, by=by, now=self._clock())

    def get(self, workspace: str, name: str) -> Secret:
        """Raises SecretNotFound."""
        return self._store.secrets.get(workspace, name)

    def list(self, workspace: str) -> list[Secret]:
        return self._store.secrets.list(workspace)

    def delete(self, workspace: str, name: str) -> None:
        """Delete a secret. Jobs that name it and have not started yet will fail. Raises SecretNotFound."""
        self._store.secrets.delete(workspace, name)

    def check(self, workspace: str, names: Sequence[str]) -> Iterator[FieldError]:
        """Yield an error for each secret of a job that does not exist, and for too many."""
        if len(names) > MAX_SECRETS:
            yield FieldError("secrets", f"has {len(names)} names; at most {MAX_SECRETS} are taken")
            return
        for name in self._store.secrets.missing(workspace, names):
            yield FieldError(f"secrets[{names.index(name)}]", f"is {name!r}, which does not exist: raylift secrets set {name}")


def _check(name: str, variables: Mapping[str, str]) -> Iterator[FieldError]:
    if not SECRET_NAME.fullmatch(name):
        yield FieldError("name", f"must be {NAME_FORM}")
    if not variables:
        yield FieldError("variables", "is empty; give at least one")
    for error in check_variables(variables):
        yield FieldError(error.field.replace("environment.", "variables.", 1), error.detail)
    for variable, value in variables.items():
        if not value:
            yield FieldError(f"variables.{variable}", "is empty")
    size = sum(len(f"{variable}={value}".encode("utf-8", "surrogatepass")) for variable, value in variables.items())
    if size > MAX_SECRET_BYTES:
        yield FieldError("variables", f"have {size} bytes together; at most {MAX_SECRET_BYTES} are taken")
