"""Schemas of a version's statistics, of its time series and of feedback on its predictions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

RequestId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="X-Request-ID of the request or of its response.",
    ),
]


class StatsView(BaseModel):
    """Counters of a version's processes since ``since``, and present gauges."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    since: Annotated[datetime | None, Field(description="null: no process has started yet.")]
    requests: Annotated[int, Field(description="Prediction requests received by processes of the version.")]
    requests_by_protocol: dict[str, int]
    errors: int
    error_rate: Annotated[float | None, Field(description="errors / requests; null without requests.")]
    errors_by_kind: Annotated[dict[str, int], Field(description="Only kinds that occurred.")]
    rows: int
    mean_batch_rows: Annotated[float | None, Field(description="Mean number of rows computed together.")]
    latency_mean_ms: float | None
    latency_p50_ms: Annotated[float | None, Field(description="Estimated from the histogram, as are p95 and p99.")]
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    ongoing_requests: int
    queued_requests: Annotated[int, Field(description="Ongoing requests that are not being computed yet.")]
    replicas: int
    warm_processes: int
    memory_bytes: Annotated[int, Field(description="Resident memory of its processes together.")]
    loads: int
    load_failures: int
    load_mean_seconds: float | None
    payloads_written: int
    payloads_dropped: int
    feedback: Annotated[int, Field(description="Requests with feedback.")]


class SeriesPoint(BaseModel):
    """One interval of a version's time series."""

    start: datetime
    requests: Annotated[
        FiniteFloat, Field(description="Requests that began in the interval. A fraction: the supervisor was away.")
    ]
    requests_per_second: FiniteFloat
    errors: FiniteFloat
    error_rate: Annotated[float | None, Field(description="errors / requests; null without requests.")]
    rows: FiniteFloat
    latency_mean_ms: Annotated[float | None, Field(description="null without answers in the interval.")]
    latency_p50_ms: Annotated[float | None, Field(description="From the interval's own histogram, as are p95 and p99.")]
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    queued: Annotated[FiniteFloat, Field(description="The most requests that waited at once, sampled every 5 s.")]
    replicas: Annotated[int, Field(description="At the end of the interval.")]
    warm_processes: int


class SeriesView(BaseModel):
    """Time series of a version: one point for each interval, also for those in which nothing happened."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    since: Annotated[datetime, Field(description="Start of the first interval.")]
    until: Annotated[datetime, Field(description="End of the last one. The minute that is running is not recorded yet.")]
    step_seconds: int
    points: list[SeriesPoint]


class QualityFigures(BaseModel):
    """Quality of predictions whose true values came."""

    rows: Annotated[int, Field(description="Rows with a true value and an answer in the payload log.")]
    accuracy: Annotated[float | None, Field(description="Share of equal classes, 0 to 1; null for numbers.")]
    rmse: Annotated[float | None, Field(description="Root of the mean squared error, in the target's unit; null for classes.")]
    mae: Annotated[float | None, Field(description="Mean absolute error, in the target's unit; null for classes.")]
    accuracy_low: Annotated[float | None, Field(description="Bounds of the interval of 95 %; likewise of the others.")] = None
    accuracy_high: float | None = None
    rmse_low: float | None = None
    rmse_high: float | None = None
    auc: Annotated[
        float | None, Field(description="Area under the ROC curve, of answers with probabilities of two classes.")
    ] = None
    auc_low: float | None = None
    auc_high: float | None = None
    log_loss: Annotated[float | None, Field(description="Of the same answers, as the next one.")] = None
    calibration_error: Annotated[
        float | None, Field(description="Mean distance of a probability from the share of rows that it came true for.")
    ] = None
    log_loss_low: float | None = None
    log_loss_high: float | None = None
    calibration_error_low: float | None = None
    calibration_error_high: float | None = None


class QualityPoint(QualityFigures):
    """Quality of the predictions whose true values came in one interval."""

    start: datetime


class QualityView(BaseModel):
    """Quality of a version over time, from feedback and the payload log. Only intervals with feedback are in it."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    since: datetime
    until: datetime
    step_seconds: int
    feedback: Annotated[int, Field(description="Requests with a true value in this time, the newest 10,000 at most.")]
    joined: Annotated[int, Field(description="Of these, requests whose answers the payload log has.")]
    overall: QualityPoint
    points: list[QualityPoint]


class FeedbackEntry(BaseModel):
    """The true value of one request. It replaces a former one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    request_id: RequestId
    true_value: Annotated[
        Any, Field(description="JSON except null: the value of the one row, or a list with one value per row of the request.")
    ]


class FeedbackBody(BaseModel):
    """Body of ``POST …/feedback`` for several requests. A single entry may be sent without this envelope."""

    model_config = ConfigDict(extra="forbid")

    feedback: Annotated[list[FeedbackEntry], Field(min_length=1, max_length=10_000)]


class FeedbackAccepted(BaseModel):
    accepted: Annotated[int, Field(description="Requests with accepted feedback; two entries for one request count once.")]


class FeedbackView(BaseModel):
    request_id: str
    true_value: Any
    received_at: datetime


class FeedbackPage(BaseModel):
    feedback: Annotated[list[FeedbackView], Field(description="Newest first.")]
    next_cursor: str | None
