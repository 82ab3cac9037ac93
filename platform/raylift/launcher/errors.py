"""Errors of the start and the stop of a platform."""

from __future__ import annotations


class LauncherError(Exception):
    """Carries ``hint`` (what to do) and ``log_tail`` (the end of the failed part's log)."""

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
    """Another process uses a requested port."""
