"""Reports of scanners on scripts, packages and models. They inform; they are no boundary."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Severities, the mildest first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    def is_at_least(self, other: Severity) -> bool:
        ranks = list(Severity)
        return ranks.index(self) >= ranks.index(other)


class ReportState(StrEnum):
    CLEAN = "clean"
    """The scanner found nothing."""
    FINDINGS = "findings"
    NOT_RUN = "not_run"
    """The scanner is not installed, or could not work; the detail says why."""


@dataclass(frozen=True, slots=True)
class ReportFinding:
    severity: Severity
    what: str
    where: str | None = None
    """Line of a script, or file of a model."""


@dataclass(frozen=True, slots=True)
class Report:
    """Result of one scanner."""

    subject: str
    """``script``, ``packages`` or ``model``."""
    tool: str
    state: ReportState
    findings: tuple[ReportFinding, ...] = ()
    detail: str | None = None

    def at_least(self, severity: Severity) -> tuple[ReportFinding, ...]:
        """Return the findings of this severity and worse."""
        return tuple(finding for finding in self.findings if finding.severity.is_at_least(severity))

    @classmethod
    def of(cls, subject: str, tool: str, findings: list[ReportFinding]) -> Report:
        """Return the report of a scanner that has run."""
        state = ReportState.FINDINGS if findings else ReportState.CLEAN
        return cls(subject, tool, state, tuple(findings))
