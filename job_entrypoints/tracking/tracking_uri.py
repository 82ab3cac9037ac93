"""Notes an MLflow other than the job's in which a script tracks its runs: the platform cannot see those."""

from __future__ import annotations

import functools
import re

from job_entrypoints.attempt.notes import TRACKING_URI, add_notes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SECRET = re.compile(r"//[^/@]*@")


class TrackingUri:
    """Compares the script's tracking URI with ``own``, the job's MLflow (None: it has none)."""

    def __init__(self, own: str | None, notes: str) -> None:
        self._own = own
        self._notes = notes
        self._noted: str | None = None

    def check(self, uri: object) -> None:
        """Note an address that is not the job's. Remove the note when the script comes back."""
        shown = _SECRET.sub("//…@", str(uri)) if uri is not None else "MLflow's own place"
        if self._own is None or str(uri).rstrip("/") == self._own.rstrip("/"):
            shown = None
        if shown != self._noted:
            self._noted = shown
            add_notes(self._notes, {TRACKING_URI: shown})

    def after(self, set_tracking_uri: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap MLflow's ``set_tracking_uri``, to check the address."""

        @functools.wraps(set_tracking_uri)
        def set_and_check(uri: Any) -> Any:
            done = set_tracking_uri(uri)
            self.check(uri)
            return done

        return set_and_check
