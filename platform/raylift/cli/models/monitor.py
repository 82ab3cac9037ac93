"""``raylift monitor``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any

import typer

from raylift.api.monitoring.monitors import DriftReportView, FiguresView, MonitorView, QualityWindowView
from raylift.cli.exits import wrong_usage
from raylift.cli.printing import cell, print_facts, print_table, say
from raylift.cli.session import Session, command

_SHOWN: int = 20

Watched = Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="Such as churn/3.", show_default=False)]


def _at_least(help_: str, least: float) -> Any:
    return typer.Option(help=help_, min=least)


def register(app: typer.Typer) -> None:
    command(app, "monitor", MonitorView, _print)(monitor)
    command(app, "monitor-report", DriftReportView, _print_report, takes_owner=True)(monitor_report)


def monitor(
    session: Session,
    watched: Watched,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Watch the version, or do not.")] = None,
    window: Annotated[int | None, typer.Option(help="Seconds of a window.", min=10)] = None,
    minimum_rows: Annotated[int | None, typer.Option(help="Rows that a window needs.", min=20)] = None,
    consecutive: Annotated[int | None, typer.Option(help="Windows in a row that raise or end an alert.", min=1)] = None,
    drift: Annotated[float | None, typer.Option(help="Threshold of the population stability index.")] = None,
    minimum_volume: Annotated[int | None, _at_least("Rows that a window must have at least; 0 for any number.", 0)] = None,
    volume_drop: Annotated[float | None, _at_least("Share below the last seven days' rows that alerts; 0 for none.", 0)] = None,
    feedback: Annotated[int | None, _at_least("Rows with true values that a window needs for its quality.", 10)] = None,
    quality_drop: Annotated[float | None, _at_least("Drop of quality below the baseline that alerts; 0 for none.", 0)] = None,
    baseline: Annotated[
        str | None, typer.Option(help='Alias or version to compare quality with; "" for the first window.')
    ] = None,
    minimum_accuracy: Annotated[float | None, _at_least("Lowest accuracy, 0 to 1; 0 for none.", 0)] = None,
    minimum_auc: Annotated[float | None, _at_least("Lowest AUC, 0 to 1; 0 for none.", 0)] = None,
    maximum_rmse: Annotated[float | None, _at_least("Highest RMSE; 0 for none.", 0)] = None,
    maximum_log_loss: Annotated[float | None, _at_least("Highest log loss; 0 for none.", 0)] = None,
    maximum_calibration_error: Annotated[float | None, _at_least("Highest calibration error, 0 to 1; 0 for none.", 0)] = None,
    segment: Annotated[str | None, typer.Option(help='Column by whose values to compare; "" for none.')] = None,
) -> Any:
    """Show drift, volume, quality and alerts of a model version, or change what is watched."""
    name, version = _version_of(watched)
    given = {
        "enabled": on,
        "window_seconds": window,
        "minimum_rows": minimum_rows,
        "consecutive_windows": consecutive,
        "drift_threshold": drift,
        "minimum_feedback": feedback,
    }
    # Of these, 0 and "" are none.
    optional = {
        "minimum_volume": minimum_volume,
        "volume_drop": volume_drop,
        "quality_drop": quality_drop,
        "quality_baseline": baseline,
        "minimum_accuracy": minimum_accuracy,
        "minimum_auc": minimum_auc,
        "maximum_rmse": maximum_rmse,
        "maximum_log_loss": maximum_log_loss,
        "maximum_calibration_error": maximum_calibration_error,
        "segment_column": segment,
    }
    changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    changes |= {field: value or None for field, value in optional.items() if value is not None}
    monitors = session.client.monitors
    found = monitors.set(name, version, **changes) if changes else monitors.get(name, version)
    return found.model_dump(mode="json")


def monitor_report(
    session: Session,
    watched: Watched,
    hours: Annotated[float | None, typer.Option(help="Hours back from now; default: the newest window.", min=0.01)] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Dataset to compare with, such as churn-train@3; default: that of its training, or earlier requests."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait until the report is complete.")] = False,
) -> Any:
    """Make a full report of drift as a job: logged requests against a reference, by Evidently."""
    name, version = _version_of(watched)
    since = None if hours is None else timedelta(hours=hours)
    found = session.client.monitors.report(name, version, since=since, reference=reference)
    if follow:
        session.client.jobs.get(found.job_id).wait()
        made = session.client.monitors.reports(name, version)
        found = next((each for each in made if each.job_id == found.job_id), found)
    return found.model_dump(mode="json")


def _version_of(watched: str) -> tuple[str, str]:
    name, slash, version = watched.rpartition("/")
    if not slash or not name or not version:
        raise wrong_usage("MODEL/VERSION", f"{watched!r} is not of the form churn/3")
    return name, version


def _print_report(found: DriftReportView) -> None:
    print_facts(
        [
            ("job", found.job_id),
            ("status", found.status),
            ("requests", f"{cell(found.since)} to {cell(found.until)}"),
            ("reference", found.reference),
            ("run", found.run_id),
            ("artifact", found.artifact),
            ("message", found.message),
        ]
    )


def _print(found: MonitorView) -> None:
    settings = found.settings
    newest = found.windows[0] if found.windows else None
    print_facts(
        [
            ("version", f"{found.model_name}/{found.model_version}"),
            ("status", found.status),
            ("window", f"{settings.window_seconds} s, at least {settings.minimum_rows} rows"),
            ("alert", f"after {settings.consecutive_windows} windows in a row beyond a limit"),
            ("segments by", settings.segment_column),
            ("reference", found.reference and f"{found.reference.rows} rows, {len(found.reference.columns)} columns"),
            ("newest window", newest and f"{cell(newest.start)} to {cell(newest.end)}"),
            ("rows", newest and f"{newest.rows_seen}, {newest.rows_sketched} of them sketched"),
        ]
    )
    if found.open_alerts:
        rows = [
            (alert.feature, alert.segment, alert.check, f"{alert.value:.3g}", f"{alert.limit:.3g}", alert.raised_at)
            for alert in found.open_alerts
        ]
        print_table(("alert on", "segment", "check", "value", "limit", "since"), rows)
    if found.quality:
        columns = ("from", "segment", "rows", "true values", "accuracy or rmse", "95 %", "auc", "log loss", "calib.", "beyond")
        print_table(columns, _quality_rows(found.quality))
    if newest is not None and newest.is_compared:
        columns = ("feature", "segment", "psi", "limit", "js", "missing", "unseen", "outside", "beyond")
        print_table(columns, _rows(newest.figures[:_SHOWN]))
        if len(newest.figures) > _SHOWN:
            say(f"{len(newest.figures) - _SHOWN} more: raylift monitor … --output json")


def _rows(figures: list[FiguresView]) -> Iterator[tuple[object, ...]]:
    for each in figures:
        numbers = map(_number, (each.psi, each.psi_limit, each.jensen_shannon))
        shares = (f"{share:.1%}" for share in (each.missing, each.unseen, each.outside))
        yield each.feature, each.segment, *numbers, *shares, " ".join(each.breaches)


def _quality_rows(windows: list[QualityWindowView]) -> Iterator[tuple[object, ...]]:
    for window in windows:
        start = cell(window.start)
        if not window.scores:
            yield start, None, window.rows, window.joined, *("-",) * 5, ""
        for score in window.scores:
            of = score.quality
            bounds = (
                (of.rmse, of.rmse_low, of.rmse_high)
                if of.accuracy is None
                else (of.accuracy, of.accuracy_low, of.accuracy_high)
            )
            value, low, high = map(_number, bounds)
            numbers = map(_number, (of.auc, of.log_loss, of.calibration_error))
            yield start, score.segment, window.rows, of.rows, value, f"{low} to {high}", *numbers, " ".join(score.breaches)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
