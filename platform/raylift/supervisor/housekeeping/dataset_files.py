"""Removes bytes of datasets that no version has, and parts of uploads that stopped."""

from __future__ import annotations

import logging
import time
from itertools import groupby
from typing import Final

from raylift.engines.datasets.blobs import blobs_of
from raylift.services.datasets.uploads import FileUploads
from raylift.settings import PlatformSettings
from raylift.store import Store

log = logging.getLogger(__name__)

_AGE_SECONDS: Final = 24 * 3600.0
"""A younger file may belong to a version that is about to be added."""
_PAUSE_SECONDS: Final = 6 * 3600.0
"""Pause between two looks at all files: an object store lists a thousand a request."""


class DatasetFiles:
    """Uploaded files of all workspaces. May be repeated, and interrupted anywhere."""

    def __init__(self, settings: PlatformSettings, store: Store) -> None:
        self._store = store
        self._blobs = blobs_of(settings)
        self._uploads = FileUploads(settings.uploads_dir, self._blobs, settings.datasets.max_bytes)
        self._next = 0.0

    def remove_unused(self) -> None:
        """Remove what nothing refers to, unless that was done some hours ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PAUSE_SECONDS
        self._uploads.remove_old()
        before = time.time() - _AGE_SECONDS
        old = [each for each in self._blobs.all() if each.changed_at < before]
        removed = 0
        for workspace, group in groupby(sorted(old, key=lambda each: each.workspace), key=lambda each: each.workspace):
            candidates = [each.sha256 for each in group]
            for sha256 in {*candidates} - self._store.datasets.known_blobs(workspace, candidates):
                # A client may have asked for it since, and be about to add a version of it.
                removed += self._blobs.remove(workspace, sha256, unchanged_since=before)
        if removed:
            log.info("removed %d files of datasets that no version has", removed)
