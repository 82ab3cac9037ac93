"""Keys and the audit of a platform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from raylift.api.access import AuditEntryView, AuditPageView, KeyList, KeyView, NewKeyView, WhoAmI
from raylift.api.paths import AUDIT, AUDIT_EXPORT, KEYS, WHOAMI, key, key_rotation
from raylift.client.http.connection import Connection
from raylift.client.http.part import Part

_PAGE: Final = 500
_EXPORT_SECONDS: Final = 60.0


class Keys(Part):
    """``client.keys``: the keys of a platform. Needs the role ``admin``."""

    def create(
        self,
        name: str,
        *,
        role: str = "viewer",
        workspace: str = "default",
        models: Iterable[str] = (),
        expires_days: float | None = None,
    ) -> NewKeyView:
        """Create a key. The answer's ``key`` is the only copy.

        Args:
            name: Name of the user or program, which jobs and the audit show.
            role: viewer, submitter, deployer or admin.
            workspace: Workspace whose jobs and models it sees.
            models: Limits the key to predictions of these models.
            expires_days: Days until it expires; None: never.
        """
        body = {"name": name, "role": role, "workspace": workspace, "models": list(models), "expires_days": expires_days}
        return self._connection.view(NewKeyView, "POST", KEYS, json=body)

    def list(self) -> list[KeyView]:
        """All keys, revoked ones included."""
        return self._connection.view(KeyList, "GET", KEYS).keys

    def revoke(self, key_id: str) -> KeyView:
        """Revoke a key. It stops within five seconds, everywhere."""
        return self._connection.view(KeyView, "DELETE", key(key_id))

    def rotate(self, key_id: str, *, grace_hours: float = 24.0) -> NewKeyView:
        """Create a key of the same rights. The former one works for ``grace_hours`` more."""
        return self._connection.view(NewKeyView, "POST", key_rotation(key_id), json={"grace_hours": grace_hours})


class Audit(Part):
    """``client.audit``: every write, and every refused request. Needs the role ``admin``."""

    def entries(
        self,
        *,
        who: str | None = None,
        workspace: str | None = None,
        action: str | None = None,
        target: str | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[AuditEntryView]:
        """Yield entries, newest first, at most ``limit``. ``action`` is one, or a subject with a dot: ``job.``."""
        query: dict[str, Any] = {"who": who, "workspace": workspace, "action": action, "target": target, "outcome": outcome}
        query |= {"since": since.isoformat() if since else None, "until": until.isoformat() if until else None}
        left = limit
        cursor: str | None = None
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = self._connection.view(AuditPageView, "GET", AUDIT, params={**query, "limit": size, "cursor": cursor})
            yield from page.entries
            cursor = page.next_cursor
            if cursor is None:
                return
            left = None if left is None else left - len(page.entries)

    def export(self, **conditions: str | None) -> Iterator[str]:
        """Yield all entries as lines of JSON, newest first. The conditions are those of ``entries``, as text."""
        with self._connection.stream(AUDIT_EXPORT, params=conditions, headers={}, silence=_EXPORT_SECONDS) as answer:
            yield from answer.iter_lines()


def whoami(connection: Connection) -> WhoAmI:
    """The caller, as the platform knows it."""
    return connection.view(WhoAmI, "GET", WHOAMI)
