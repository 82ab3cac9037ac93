"""Schemas of ``/mlops/models/{name}/versions/{version}/monitor``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.figures import Figure
from raylift.api.observations import QualityFigures

Check = Literal["drift", "missing", "unseen", "range", "volume", "accuracy", "auc", "rmse", "log_loss", "calibration"]
MonitorStatus = Literal["watching", "waiting", "no_reference", "off"]

_Share = Annotated[float, Field(ge=0, le=1)]
_Limit = Annotated[float | None, Field(gt=0, lt=1, description="null: no limit.")]
_Most = Annotated[float | None, Field(gt=0, description="null: no limit.")]


class MonitorSettings(BaseModel):
    """Settings of a version's monitor, and the body of ``PUT``. Omitted fields get their defaults."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    enabled: Annotated[bool, Field(description="false: nothing is sketched and compared.")] = True
    window_seconds: Annotated[int, Field(ge=10, le=604_800, description="Length of a window.")] = 3600
    minimum_rows: Annotated[
        int, Field(ge=20, le=1_000_000, description="A window with fewer sketched rows goes on, 24 times as long at most.")
    ] = 200
    consecutive_windows: Annotated[
        int, Field(ge=1, le=100, description="Windows in a row that raise an alert, and that end it.")
    ] = 2
    drift_threshold: Annotated[
        float, Field(gt=0, le=100, description="Population stability index, beyond what chance explains.")
    ] = 0.2
    missing_threshold: Annotated[
        _Share, Field(description="Missing values, as a share of the rows, more than in the training.")
    ] = 0.05
    unseen_threshold: Annotated[_Share, Field(description="Share of values that the training did not have.")] = 0.02
    range_threshold: Annotated[_Share, Field(description="Share of numbers outside of the training's range.")] = 0.05
    segment_column: Annotated[
        str | None,
        Field(max_length=500, description="Column of categories: its 5 most frequent values are compared by themselves, too."),
    ] = None
    minimum_volume: Annotated[
        int | None, Field(ge=1, description="Rows that the version must answer in a window; 1 finds silence. null: any.")
    ] = None
    volume_drop: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Share by which rows may be fewer than in the same window of the last seven days."),
    ] = None
    minimum_feedback: Annotated[
        int, Field(ge=10, le=10_000, description="Rows with true values that a window needs for its quality.")
    ] = 100
    quality_drop: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Accuracy and AUC may be so much below the baseline, RMSE and log loss above by this share. null: any.",
        ),
    ] = 0.05
    quality_baseline: Annotated[
        str | None,
        Field(max_length=250, description="Alias or version with the baseline of the same window. null: its own first window."),
    ] = None
    minimum_accuracy: _Limit = None
    minimum_auc: _Limit = None
    maximum_rmse: _Most = None
    maximum_log_loss: _Most = None
    maximum_calibration_error: _Limit = None


class ReferenceColumnView(BaseModel):
    name: str
    kind: Annotated[Literal["number", "category", "other"], Field(description="other: only its missing values are watched.")]


class ReferenceView(BaseModel):
    """Profile of the training data that windows are compared with."""

    rows: Annotated[int, Field(description="Rows of the training table.")]
    columns: list[ReferenceColumnView]
    has_answers: Annotated[bool, Field(description="false: answers are not watched.")]


class AlertView(BaseModel):
    """A check that was beyond its limit in several windows in a row."""

    alert_id: str
    check: Check
    feature: Annotated[str, Field(description="Column; answer; requests of a volume.")]
    segment: Annotated[str | None, Field(description="column=value; null: all rows.")]
    value: Annotated[Figure, Field(description="In the window that raised it, as is limit.")]
    limit: Figure
    window_start: datetime
    raised_at: datetime
    ended_at: Annotated[datetime | None, Field(description="null: the alert is open.")]


class FiguresView(BaseModel):
    """A column of a window in comparison with the reference; null where there is nothing to compare."""

    feature: Annotated[str, Field(description="Column, or answer.")]
    is_answer: Annotated[bool, Field(description="Answers are compared with the version's first answers.")]
    segment: str | None
    rows: int
    psi: Annotated[float | None, Field(description="Population stability index.")]
    psi_limit: Annotated[float | None, Field(description="Threshold and what chance explains in so many rows.")]
    jensen_shannon: Annotated[float | None, Field(description="Distance, 0 to 1.")]
    ks: Annotated[float | None, Field(description="Kolmogorov-Smirnov statistic of numbers, from the bins.")]
    ks_p: float | None
    chi_square_p: float | None
    missing: Annotated[Figure, Field(description="Share of the rows, as are unseen and outside.")]
    missing_before: Annotated[Figure, Field(description="Share in the training.")]
    unseen: Figure
    outside: Figure
    breaches: Annotated[list[Check], Field(description="Checks beyond their limits.")]


class WindowView(BaseModel):
    """A closed window in which the version answered."""

    start: datetime
    end: datetime
    rows_seen: Annotated[int, Field(description="Rows that the version answered.")]
    rows_sketched: Annotated[int, Field(description="Rows of these that were compared: a sample at high load.")]
    is_compared: Annotated[bool, Field(description="false: too few rows.")]
    figures: Annotated[list[FiguresView], Field(description="Answers first, then by PSI.")]


class ScoreView(BaseModel):
    """Quality of the rows of a window, or of one of its segments."""

    segment: Annotated[str | None, Field(description="column=value; null: all rows.")]
    quality: QualityFigures
    breaches: Annotated[list[Check], Field(description="Checks beyond their limits.")]


class QualityWindowView(BaseModel):
    """A closed window of volume and quality. It is closed some seconds after its end, when the payload log is written."""

    start: datetime
    end: datetime
    rows: Annotated[int, Field(description="Rows that the version answered.")]
    expected_rows: Annotated[
        float | None, Field(description="Median of the same window of the last seven days; null: not compared, or not known.")
    ]
    feedback: Annotated[int, Field(description="Requests whose true values came since feedback_since, 10,000 at most.")]
    joined: Annotated[int, Field(description="Of these, requests whose answers the payload log has.")]
    feedback_since: Annotated[datetime, Field(description="Before start if earlier windows had too few true values.")]
    scores: Annotated[list[ScoreView], Field(description="All rows first, then segments. Empty: too few true values.")]
    baseline: Annotated[str | None, Field(description="Version with the baseline; null: the version's own first window.")]


class MonitorView(BaseModel):
    """The watch over a version."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    status: Annotated[
        MonitorStatus,
        Field(description="waiting: no process has started yet. no_reference: it was trained without a profile."),
    ]
    settings: MonitorSettings
    reference: ReferenceView | None
    since: Annotated[datetime | None, Field(description="Start of the window that is open.")]
    open_alerts: list[AlertView]
    windows: Annotated[list[WindowView], Field(description="The newest ones, newest first.")]
    quality: Annotated[list[QualityWindowView], Field(description="The newest windows of volume and quality, newest first.")]


class QualityWindowPage(BaseModel):
    windows: Annotated[list[QualityWindowView], Field(description="Newest first.")]
    next_cursor: str | None


class WindowPage(BaseModel):
    windows: Annotated[list[WindowView], Field(description="Newest first.")]
    next_cursor: str | None


class AlertPage(BaseModel):
    alerts: Annotated[list[AlertView], Field(description="Newest first.")]
    next_cursor: str | None


class ReportBody(BaseModel):
    """Body of ``POST …/monitor/reports``. Omitted fields get their defaults."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[
        datetime | None, Field(description="Requests from then on. null: since the start of the newest window, or for a day.")
    ] = None
    until: Annotated[datetime | None, Field(description="null: now.")] = None
    reference: Annotated[
        str | None,
        Field(
            max_length=300,
            description="Dataset to compare with: name or name@version. null: that of its training, or requests before since.",
        ),
    ] = None


class DriftReportView(BaseModel):
    """A report of drift: a job, whose run in MLflow has the report."""

    job_id: str
    status: str
    message: str | None
    created_at: datetime
    finished_at: datetime | None
    since: datetime
    until: datetime
    reference: Annotated[str, Field(description="The dataset, or the times of the requests that are the reference.")]
    run_id: Annotated[str | None, Field(description="Run in MLflow; null before it exists.")]
    artifact: Annotated[str | None, Field(description="Path among the run's artifacts; null before the report is complete.")]


class DriftReportPage(BaseModel):
    reports: Annotated[list[DriftReportView], Field(description="Newest first.")]
    next_cursor: str | None
