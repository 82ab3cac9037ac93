"""What can go wrong with starting and stopping, said so that the reader knows what to do."""

from __future__ import annotations


class LauncherError(Exception):
    """``hint`` says what to do; ``log_tail`` is the end of the failed part's own log."""

    def __init__(self, detail: str, *, hint: str | None = None, log_tail: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.log_tail = log_tail

    def __str__(self) -> str:
        parts = [self.detail]
        if self.log_tail:
            parts.append("The end of its log:\n" + "\n".join(f"  | {line}" for line in self.log_tail.splitlines()))
        if self.hint:
            parts.append(self.hint)
        return "\n".join(parts)


class PortTaken(LauncherError):
    """A port that was asked for is held by another process."""
