"""Notes that a script tracks its runs elsewhere than in the job's MLflow: the platform does not see them there."""

from __future__ import annotations

import functools
import re

from job_entrypoints.script.notes import TRACKING_URI, add_notes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SECRET = re.compile(r"//[^/@]*@")


class Elsewhere:
    """``own`` is the job's MLflow; None: the job has none."""

    def __init__(self, own: str | None, notes: str) -> None:
        self._own = own
        self._notes = notes
        self._noted: str | None = None

    def look(self, uri: object) -> None:
        """Note an address that is not the job's; forget it when the script comes back."""
        shown = _SECRET.sub("//…@", str(uri)) if uri is not None else "MLflow's own place"
        if self._own is None or str(uri).rstrip("/") == self._own.rstrip("/"):
            shown = None
        if shown != self._noted:
            self._noted = shown
            add_notes(self._notes, {TRACKING_URI: shown})

    def after(self, set_tracking_uri: Callable[..., Any]) -> Callable[..., Any]:
        """MLflow's ``set_tracking_uri``, which is looked at."""

        @functools.wraps(set_tracking_uri)
        def set_and_look(uri: Any) -> Any:
            done = set_tracking_uri(uri)
            self.look(uri)
            return done

        return set_and_look
