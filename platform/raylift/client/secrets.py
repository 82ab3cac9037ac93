"""Secrets: names with values for the environment of jobs."""

from __future__ import annotations

import builtins
from collections.abc import Mapping

from raylift.api import paths
from raylift.api.secrets import SecretList, SecretView
from raylift.client.http.part import Part


class Secrets(Part):
    """``client.secrets``. Values can be stored and replaced, but not read."""

    def list(self) -> builtins.list[SecretView]:
        """All secrets without their values, by name."""
        return self._connection.view(SecretList, "GET", paths.SECRETS).secrets

    def get(self, name: str) -> SecretView:
        """One secret without its values. Raises NotFound."""
        return self._connection.view(SecretView, "GET", paths.secret(name))

    def set(self, name: str, value: str | Mapping[str, str]) -> SecretView:
        """Store a secret, or replace all values of an existing one. Jobs that start later get the new values.

        Args:
            name: Name of the secret.
            value: Value of one environment variable that has the name of the secret; or values of several, by name.

        Raises:
            InvalidRequest: The name or a variable is invalid.
        """
        body = {"value": value} if isinstance(value, str) else {"variables": dict(value)}
        return self._connection.view(SecretView, "PUT", paths.secret(name), json=body, resend=True)

    def delete(self, name: str) -> None:
        """Delete a secret. A job that names it and has not started yet will fail. Raises NotFound."""
        self._connection.json("DELETE", paths.secret(name))
