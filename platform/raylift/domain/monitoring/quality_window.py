"""Windows of a version's volume and of its quality: the rows that it answered, and what true values say about the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from raylift.domain.models.quality import Quality


@dataclass(frozen=True, slots=True)
class Score:
    """Quality of the rows of a window, or of one of its segments."""

    segment: str | None
    quality: Quality
    breaches: tuple[str, ...] = ()
    """Checks beyond their limits."""


@dataclass(frozen=True, slots=True)
class QualityWindow:
    """A closed window with the rows that a version answered, and with its quality where enough true values came."""

    model_name: str
    version: str
    start_at: datetime
    end_at: datetime
    rows: int
    expected_rows: float | None
    """Median of the same window of the last seven days; None where that is not compared, or not known."""
    feedback: int
    """Requests whose true values were received from ``feedback_since`` on."""
    joined: int
    """Requests among those of ``feedback`` whose answers the payload log has."""
    feedback_since: datetime
    """Before ``start_at``, if earlier windows had too few true values."""
    scores: Sequence[Score]
    """All rows first, then segments. Empty: too few true values."""
    baseline: str | None
    """Version whose quality was the baseline. None: the version's own first window, or none."""


@dataclass(frozen=True, slots=True)
class ScoreState:
    """Counters and streaks that a window of volume and quality begins with."""

    rows: float
    """Counter of answered rows."""
    feedback_since: datetime
    first: Mapping[str, Quality] = field(default_factory=dict[str, Quality])
    """First quality by segment; "" is all rows."""
    streaks: Mapping[str, int] = field(default_factory=dict[str, int])
    counted_at: datetime | None = None
    """Time at which ``rows`` was read: later than the window's start, much later after a pause of the supervisor."""
