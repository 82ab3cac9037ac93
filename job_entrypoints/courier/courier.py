"""Carries an attempt's progress, usage and log to the platform, and stops back.

It keeps nothing that it could lose: each answer says how much of the log the platform has, so a new courier goes on there.
"""

from __future__ import annotations

import json
import os
import time

from job_entrypoints.contract import (
    LIVE_USAGE_FILE,
    LOG_PORTION_BYTES,
    OUTPUT_FILE,
    PROGRESS_FILE,
    RESULT_FOLDER,
    STOP_FILE,
)
from job_entrypoints.courier.contact import now
from job_entrypoints.courier.gateway import Refused, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from job_entrypoints.contract import ReportRecord
    from job_entrypoints.courier.contact import Contact
    from job_entrypoints.courier.gateway import Gateway

_LOOK_SECONDS = 0.1
"""Pause between two looks at the local files."""
_LOG_SECONDS = 0.5
"""Least time between two messages with new output."""
_HEARTBEAT_SECONDS = 2.0
"""Longest time between two messages: a stop is seen so late at most."""
_RETRY_SECONDS = 1.0
_DELIVERY_SECONDS = 600.0
"""Time for which the end of an attempt is offered to a platform that does not answer."""


class Courier:
    """Carries the files of one attempt."""

    def __init__(self, directory: str, gateway: Gateway, contact: Contact) -> None:
        self._directory = directory
        self._gateway = gateway
        self._contact = contact
        self._have: int | None = None
        """Bytes of the log that the platform has; None until its first answer."""
        self._told: dict[str, dict[str, Any]] = {}
        """Records that the platform has, by file name."""
        self._sent_at = float("-inf")
        self._has_result = False
        """The platform has the files that the script has made."""

    def send(self, *, with_end: bool) -> bool:
        """Send what is new. Returns True once the platform has the end of the attempt, or needs it no more.

        Raises:
            Unreachable: the platform does not answer, or not as it should.
        """
        progress, usage = self._news(PROGRESS_FILE), self._news(LIVE_USAGE_FILE)
        # After the progress: what says the end is written when the log is complete.
        log, is_whole = self._portion()
        if progress is not None and progress.get("state") == "finished" and not (with_end and is_whole):
            progress = None
        message: ReportRecord = {"sent_at": time.time(), "offset": self._have or 0, "progress": progress, "usage": usage}
        sent_at = now()
        try:
            if progress is not None and progress.get("exit_code") == 0 and not self._has_result:
                self._send_result()
            answer = self._gateway.report(message, log)
        except Refused as error:
            if error.is_over:
                self._contact.lose()
                return True
            # The script ends when this lasts: it may be a wrong setting for a moment.
            raise Unreachable(str(error)) from error
        self._contact.answered(sent_at)
        self._sent_at = time.monotonic()
        taken = answer["have"] >= (self._have or 0) + len(log) and self._have is not None
        self._have = answer["have"]
        if answer["stop"] is not None:
            self._stop(answer["stop"])
        if not taken:
            return False
        self._told |= {name: record for name, record in ((PROGRESS_FILE, progress), (LIVE_USAGE_FILE, usage)) if record}
        return self._told.get(PROGRESS_FILE, {}).get("state") == "finished"

    def run(self, anchor_pid: int) -> None:
        """Carry until the anchor ends this process. If the anchor is gone, carry the end of the attempt, too."""
        while True:
            if os.getppid() != anchor_pid:
                self.deliver()
                return
            if not self._is_due():
                time.sleep(_LOOK_SECONDS)
                continue
            try:
                if self.send(with_end=False):
                    return
            except Unreachable:
                time.sleep(_RETRY_SECONDS)

    def deliver(self) -> bool:
        """Carry what is left, to the end of the attempt. Returns False if the platform did not answer in time."""
        give_up = time.monotonic() + _DELIVERY_SECONDS
        while time.monotonic() < give_up:
            if self._contact.is_lost:
                return True
            try:
                if self.send(with_end=True):
                    return True
                if self._has_all_of_log():
                    time.sleep(_LOOK_SECONDS)  # The monitor, whose anchor is gone, has not written the end yet.
            except Unreachable:
                time.sleep(_RETRY_SECONDS)
        return False

    def _send_result(self) -> None:
        """Send the files that the script has made. What the platform has is not sent again."""
        root = os.path.join(self._directory, RESULT_FOLDER)
        for folder, folders, names in os.walk(root):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in (*names, *links):
                path = os.path.join(folder, name)
                shown = os.path.relpath(path, root)
                # The platform refuses what no dataset takes, with a sentence.
                is_file = os.path.isfile(path) and not os.path.islink(path) and shown.isprintable()
                self._send_file(path, shown.encode("utf-8", "replace").decode(), is_file=is_file)
        self._has_result = True

    def _send_file(self, path: str, name: str, *, is_file: bool) -> None:
        offset = 0
        while True:
            content = b""
            if is_file:
                try:
                    with open(path, "rb") as file:
                        file.seek(offset)
                        content = file.read(LOG_PORTION_BYTES)
                except OSError:
                    is_file = False  # It is gone, or closed to us: refused as a link is.
            sent_at = now()
            have = self._gateway.result(name, offset, content, is_file=is_file)
            self._contact.answered(sent_at)
            if have == offset + len(content) and len(content) < LOG_PORTION_BYTES:
                return
            offset = have

    def _is_due(self) -> bool:
        passed = time.monotonic() - self._sent_at
        if passed >= _HEARTBEAT_SECONDS or self._have is None:
            return True
        progress = self._news(PROGRESS_FILE)
        if progress is not None and progress.get("state") != "finished":
            return True
        behind = self._size() - self._have
        return behind >= LOG_PORTION_BYTES or (behind > 0 and passed >= _LOG_SECONDS)

    def _has_all_of_log(self) -> bool:
        return self._have is not None and self._size() <= self._have

    def _news(self, name: str) -> dict[str, Any] | None:
        """The record in a file, if the platform does not have it yet."""
        try:
            with open(os.path.join(self._directory, name), encoding="utf-8") as file:
                record = json.load(file)
        except (OSError, ValueError):
            return None  # There is none yet. A script of the cluster may also have damaged it: its own job suffers.
        return record if isinstance(record, dict) and record != self._told.get(name) else None

    def _portion(self) -> tuple[bytes, bool]:
        """The next bytes of the log, and whether they are its last."""
        if self._have is None:
            return b"", False
        try:
            with open(os.path.join(self._directory, OUTPUT_FILE), "rb") as log:
                log.seek(self._have)
                portion = log.read(LOG_PORTION_BYTES)
                return portion, self._have + len(portion) >= os.fstat(log.fileno()).st_size
        except FileNotFoundError:
            return b"", True

    def _size(self) -> int:
        try:
            return os.stat(os.path.join(self._directory, OUTPUT_FILE)).st_size
        except FileNotFoundError:
            return 0

    def _stop(self, cause: str) -> None:
        path = os.path.join(self._directory, STOP_FILE)
        if not os.path.exists(path):
            draft = f"{path}.{os.getpid()}"
            with open(draft, "w", encoding="utf-8") as file:
                file.write(cause)
            os.replace(draft, path)
