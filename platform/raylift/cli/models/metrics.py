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
from raylift.cli.printing import age, pairs, print_facts, print_json, print_table, say
from raylift.cli.session import KeyOption, OutputOption, UrlOption, session
from raylift.domain.quantities import format_bytes

Name = Annotated[str, typer.Argument(help="The model.", show_default=False)]
Version = Annotated[str, typer.Argument(help="Its version.", show_default=False)]


def stats(
    ctx: typer.Context,
    name: Name,
    version: Version,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Show what one version does: requests, errors, latency, batches, processes."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.stats(name, version))
        if here.as_json:
            print_json(answer)
        else:
            print_facts(_facts(StatsView.model_validate(answer)))


def feedback(
    ctx: typer.Context,
    name: Name,
    version: Version,
    request_id: Annotated[str | None, typer.Option(help="The request that the true value is of.")] = None,
    true_value: Annotated[str | None, typer.Option(help='Its true value as JSON, e.g. 1, "\\"yes\\"" or [1, 0].')] = None,
    file: Annotated[
        str | None, typer.Option(help='Many of them: a file of JSON lines {"request_id": …, "true_value": …}; - for stdin.')
    ] = None,
    limit: Annotated[int, typer.Option(help="How many to list.", min=1, max=1000)] = 20,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """List what was told of a version's predictions; or tell what they should have been."""
    entries = _entries(request_id, true_value, file)
    with session(ctx, url, api_key, output) as here:
        path = paths.feedback(name, version)
        if entries:
            answer = here.client.request("POST", path, json={"feedback": entries})
            if here.as_json:
                print_json(answer)
            else:
                say(f"told of {answer['accepted']} requests")
            return
        answer = here.client.request("GET", path, params={"limit": limit})
        if here.as_json:
            print_json(answer)
            return
        rows = [
            (one.request_id, json.dumps(one.true_value, ensure_ascii=False), age(one.received_at))
            for one in FeedbackPage.model_validate(answer).feedback
        ]
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


def _facts(seen: StatsView) -> list[tuple[str, object]]:
    return [
        ("model", seen.model_name),
        ("version", seen.model_version),
        ("since", seen.since),
        ("requests", seen.requests),
        ("by protocol", pairs(seen.requests_by_protocol)),
        ("errors", seen.errors if seen.error_rate is None else f"{seen.errors} ({seen.error_rate:.2%})"),
        ("by kind", pairs(seen.errors_by_kind)),
        ("rows", seen.rows),
        ("rows a batch", seen.mean_batch_rows and f"{seen.mean_batch_rows:.2f}"),
        ("latency, mean", _ms(seen.latency_mean_ms)),
        ("latency, p50", _ms(seen.latency_p50_ms)),
        ("latency, p95", _ms(seen.latency_p95_ms)),
        ("latency, p99", _ms(seen.latency_p99_ms)),
        ("ongoing", f"{seen.ongoing_requests} ({seen.queued_requests} of them queued)"),
        ("replicas", seen.replicas),
        ("warm processes", seen.warm_processes),
        ("memory", format_bytes(seen.memory_bytes)),
        (
            "loading",
            seen.load_mean_seconds and f"{seen.load_mean_seconds:.2f} s ({seen.loads} times, {seen.load_failures} failed)",
        ),
        ("payloads kept", f"{seen.payloads_written} ({seen.payloads_dropped} dropped)"),
        ("feedback", seen.feedback),
    ]


def _ms(milliseconds: float | None) -> str | None:
    return None if milliseconds is None else f"{milliseconds:.3g} ms"
