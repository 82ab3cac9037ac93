"""``raylift models series`` and ``raylift models quality``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from raylift.api import paths
from raylift.api.observations import QualityPoint, QualityView, SeriesPoint, SeriesView
from raylift.cli.names import ModelArgument
from raylift.cli.options import VersionArgument
from raylift.cli.printing import cell, print_table, say
from raylift.cli.session import Session, command

HoursOption = Annotated[float, typer.Option("--hours", help="Hours back from now.", min=0.02, max=720)]
StepOption = Annotated[
    int | None, typer.Option("--step", help="Seconds of a row, a multiple of 60; default: as the hours need.", min=60)
]

_OF_CLASSES: Final = ("from", "rows", "accuracy", "95 %", "auc", "log loss", "calibration error")
_OF_NUMBERS: Final = ("from", "rows", "rmse", "95 %", "mae")


def register(app: typer.Typer) -> None:
    command(app, "series", SeriesView, _print_series)(series)
    command(app, "quality", QualityView, _print_quality)(quality)


def series(
    session: Session, name: ModelArgument, version: VersionArgument, hours: HoursOption = 1.0, step: StepOption = None
) -> Any:
    """Show requests, errors, latency, queue and replicas of one version over time."""
    return session.client.request("GET", paths.series(name, version), params={"since": _since(hours), "step": step})


def quality(
    session: Session, name: ModelArgument, version: VersionArgument, hours: HoursOption = 24.0, step: StepOption = None
) -> Any:
    """Show accuracy or error of one version over time, from the true values that were sent."""
    return session.client.request("GET", paths.quality(name, version), params={"since": _since(hours), "step": step})


def _since(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


def _print_series(found: SeriesView) -> None:
    columns = ("from", "requests", "a second", "errors", "p50 ms", "p95 ms", "p99 ms", "queued", "replicas", "warm")
    print_table(columns, map(_series_row, found.points))
    say(f"{found.model_name} v{found.model_version}, {found.step_seconds} s a row")


def _series_row(point: SeriesPoint) -> tuple[object, ...]:
    latencies = (point.latency_p50_ms, point.latency_p95_ms, point.latency_p99_ms)
    return (
        point.start,
        round(point.requests, 1),
        f"{point.requests_per_second:.3g}",
        "-" if point.error_rate is None else f"{point.error_rate:.2%}",
        *("-" if value is None else f"{value:.3g}" for value in latencies),
        point.queued,
        point.replicas,
        point.warm_processes,
    )


def _print_quality(found: QualityView) -> None:
    if found.joined:
        is_class = found.overall.accuracy is not None
        columns = _OF_CLASSES if is_class else _OF_NUMBERS
        print_table(columns, [*_quality_rows(found.points), ("all", *_figures(found.overall))])
    say(f"{found.feedback} true values came, {found.joined} of them for answers that the payload log has")


def _quality_rows(points: list[QualityPoint]) -> Iterator[tuple[object, ...]]:
    for point in points:
        yield cell(point.start), *_figures(point)


def _figures(point: QualityPoint) -> tuple[object, ...]:
    if point.accuracy is not None:
        interval = _interval(point.accuracy_low, point.accuracy_high, ".1%")
        return (
            point.rows,
            f"{point.accuracy:.2%}",
            interval,
            *map(_number, (point.auc, point.log_loss, point.calibration_error)),
        )
    return point.rows, point.rmse, _interval(point.rmse_low, point.rmse_high, ".4g"), point.mae


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "-" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
