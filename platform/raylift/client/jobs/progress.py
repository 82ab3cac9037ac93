"""Shows the progress of a job on stderr: one live line on a terminal, a line for each phase elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.status import Status
from rich.text import Text

from raylift.api.training import DownloadProgress, JobView
from raylift.client.http.errors import RayliftError
from raylift.client.jobs.waiting import is_final
from raylift.client.terminal_text import printable
from raylift.domain.quantities import format_bytes

_STEPS: Final = 10
"""Lines about one download, where no line updates in place."""


def downloaded(progress: DownloadProgress) -> str:
    """``1.2 GiB of 2.5 GiB downloaded``."""
    return f"{format_bytes(progress.downloaded)} of {format_bytes(progress.size)} downloaded"


def step_of(progress: DownloadProgress | None) -> int | None:
    """Tenths of the download that are done; None before it begins."""
    return None if progress is None else _STEPS * progress.downloaded // max(progress.size, 1)


class ProgressDisplay:
    """A ``Report`` and a context manager."""

    def __init__(self, job_id: str, console: Console | None = None, *, live: bool = True) -> None:
        """``live=False`` prints a line for each phase, also on a terminal: another thread writes to it."""
        self._job_id = job_id
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._status = Status(f"{job_id} …", console=self._console) if live and self._console.is_terminal else None
        self._printed: tuple[str, str | None, int | None] | None = None
        self._note: str | None = None
        self._unavailable = False

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, view: JobView | None, error: RayliftError | None) -> None:
        if view is None:
            self._show_error(error)
            return
        self._unavailable = False
        if view.environment_note is not None and view.environment_note != self._note:
            self._note = view.environment_note
            self._console.print(f"Note: {printable(self._note)}", markup=False)
        if self._status is not None and not is_final(view):
            self._status.update(Text(_plain(view)))
        elif (state := (view.phase, view.reason, step_of(view.environment_progress))) != self._printed:
            self._printed = state
            self._console.print(_plain(view), markup=False)

    def _show_error(self, error: RayliftError | None) -> None:
        text = printable(f"{self._job_id}: trying again, the platform does not answer ({error})")
        if self._status is not None:
            self._status.update(Text(text))
        elif not self._unavailable:
            self._console.print(text, markup=False)
        self._unavailable = True


def _plain(view: JobView) -> str:
    """``job_01K… script 12.3 s (queued 0.4 s, environment 3.1 s)``."""
    earlier = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in view.phases.items() if name != view.phase)
    now = view.phases.get(view.phase)
    words = [view.job_id, view.phase]
    if now is not None:
        words.append(f"{now:.1f} s")
    if view.reason:
        words.append(f"[{view.reason}]" if is_final(view) else view.reason.replace("_", " "))
    if view.environment_progress is not None:
        words.append(downloaded(view.environment_progress))
    if view.queue_position is not None:
        words.append(f"number {view.queue_position} in the queue")
    return printable(" ".join(words)) + (f" ({earlier})" if earlier else "")
