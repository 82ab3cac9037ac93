"""``raylift models stats`` and ``raylift models feedback``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.observations import FeedbackPage, StatsView
from raylift.cli.exits import wrong_usage
from raylift.cli.names import ModelArgument
from raylift.cli.options import VersionArgument
from raylift.cli.printing import age, pairs, print_facts, print_table, say
from raylift.cli.session import Session, command
from raylift.domain.quantities import format_bytes


def register(app: typer.Typer) -> None:
    command(app, "stats", StatsView, lambda stats: print_facts(_facts(stats)))(stats)
    command(app, "feedback")(feedback)


def stats(session: Session, name: ModelArgument, version: VersionArgument) -> Any:
    """Show metrics of one version: requests, errors, latency, batches, processes."""
    return session.client.request("GET", paths.stats(name, version))


def feedback(
    session: Session,
    name: ModelArgument,
    version: VersionArgument,
    request_id: Annotated[str | None, typer.Option(help="Id of the request that the true value belongs to.")] = None,
    true_value: Annotated[str | None, typer.Option(help='Its true value as JSON, e.g. 1, "\\"yes\\"" or [1, 0].')] = None,
    file: Annotated[
        str | None, typer.Option(help='File of JSON lines {"request_id": …, "true_value": …}; - for stdin.')
    ] = None,
    limit: Annotated[int, typer.Option(help="Maximum length of the list.", min=1, max=1000)] = 20,
) -> None:
    """List the feedback on a version's predictions. With true values, send feedback."""
    entries = _entries(request_id, true_value, file)
    path = paths.feedback(name, version)
    if entries:
        answer = session.client.request("POST", path, json={"feedback": entries})
        session.print(answer, lambda: say(f"told of {answer['accepted']} requests"))
    else:
        answer = session.client.request("GET", path, params={"limit": limit})
        session.print(answer, lambda: _print_page(FeedbackPage.model_validate(answer)))


def _print_page(page: FeedbackPage) -> None:
    rows = [(one.request_id, json.dumps(one.true_value, ensure_ascii=False), age(one.received_at)) for one in page.feedback]
    print_table(("request", "true value", "age"), rows)


def _entries(request_id: str | None, true_value: str | None, file: str | None) -> list[Any]:
    if file is not None:
        if request_id is not None or true_value is not None:
            raise wrong_usage("--file", "cannot be used together with --request-id and --true-value")
        return _lines(file)
    if (request_id is None) != (true_value is None):
        raise wrong_usage("--request-id", "goes together with --true-value")
    if request_id is None or true_value is None:
        return []
    try:
        return [{"request_id": request_id, "true_value": json.loads(true_value)}]
    except ValueError as error:
        raise wrong_usage("--true-value", f'not JSON: {error}; a text is written "\\"yes\\""') from error


def _lines(file: str) -> list[Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        entries = [json.loads(line) for line in text.splitlines() if line.strip()]
    except OSError as error:
        raise wrong_usage("--file", f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise wrong_usage("--file", f"not JSON lines: {error}") from error
    if not entries:
        raise wrong_usage("--file", "is empty")
    return entries


def _facts(stats: StatsView) -> list[tuple[str, object]]:
    return [
        ("model", stats.model_name),
        ("version", stats.model_version),
        ("since", stats.since),
        ("requests", stats.requests),
        ("by protocol", pairs(stats.requests_by_protocol)),
        ("errors", stats.errors if stats.error_rate is None else f"{stats.errors} ({stats.error_rate:.2%})"),
        ("by kind", pairs(stats.errors_by_kind)),
        ("rows", stats.rows),
        ("rows a batch", stats.mean_batch_rows and f"{stats.mean_batch_rows:.2f}"),
        ("latency, mean", _ms(stats.latency_mean_ms)),
        ("latency, p50", _ms(stats.latency_p50_ms)),
        ("latency, p95", _ms(stats.latency_p95_ms)),
        ("latency, p99", _ms(stats.latency_p99_ms)),
        ("ongoing", f"{stats.ongoing_requests} ({stats.queued_requests} of them queued)"),
        ("replicas", stats.replicas),
        ("warm processes", stats.warm_processes),
        ("memory", format_bytes(stats.memory_bytes)),
        (
            "loading",
            stats.load_mean_seconds and f"{stats.load_mean_seconds:.2f} s ({stats.loads} times, {stats.load_failures} failed)",
        ),
        ("payloads kept", f"{stats.payloads_written} ({stats.payloads_dropped} dropped)"),
        ("feedback", stats.feedback),
    ]


def _ms(milliseconds: float | None) -> str | None:
    return None if milliseconds is None else f"{milliseconds:.3g} ms"
