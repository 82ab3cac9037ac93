"""Reads the audit, and records requests that have no transaction of their own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from raylift.domain.audit import AuditEntry, AuditFilter, Outcome
from raylift.domain.errors import EngineUnavailable
from raylift.services.ports import Clock, utc_now
from raylift.store import Act, AuditPage, Store

log = logging.getLogger(__name__)

_WINDOW: Final = timedelta(seconds=60)
_UNKNOWN_AT_ONCE: Final = 20
"""Entries a minute of one address whose callers are unknown. Others would fill the disk."""
_ADDRESSES: Final = 1000


class AuditService:
    """The audit."""

    def __init__(self, store: Store, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock
        self._since: datetime | None = None
        self._unknown: Counter[str | None] = Counter()

    def page(self, wanted: AuditFilter, *, limit: int, cursor: str | None) -> AuditPage:
        """Return one page of entries, newest first. Raises InvalidRequest for an invalid cursor."""
        return self._store.audit.list(wanted, limit=limit, cursor=cursor)

    def every(self, wanted: AuditFilter) -> Iterator[AuditEntry]:
        return self._store.audit.every(wanted)

    def author(self, action: str, target: str) -> str | None:
        """Return the caller of the last committed action on the target; None where the audit has none."""
        found = self._store.audit.list(AuditFilter(action=action, target=target, outcome=Outcome.DONE), limit=1).entries
        return found[0].who if found else None

    def is_due(self, act: Act) -> bool:
        """Return False for requests of unknown callers beyond 20 a minute for one address."""
        if act.who:
            return True
        now = self._clock()
        if self._since is None or now - self._since > _WINDOW or len(self._unknown) > _ADDRESSES:
            self._since = now
            self._unknown.clear()
        self._unknown[act.address] += 1
        return self._unknown[act.address] <= _UNKNOWN_AT_ONCE

    def record(self, act: Act, outcome: Outcome, detail: str | None = None) -> None:
        """Store an entry. The request was answered already: a store that is down is logged."""
        try:
            self._store.audit.add(act.entry(outcome, detail))
        except EngineUnavailable as error:
            log.warning("no audit entry of %s %s by %r, %s: %s", act.action, act.target, act.who, outcome, error)
