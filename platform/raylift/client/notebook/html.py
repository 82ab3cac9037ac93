"""Draws jobs, models, sweeps and predictions as HTML for notebooks. All text is escaped: scripts choose names and messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

from raylift.api.models import ModelSummary
from raylift.api.sweeps import SweepRow, SweepView
from raylift.api.training import JobSummary, JobView
from raylift.domain.job import JobStatus
from raylift.domain.quantities import format_bytes

_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    JobStatus.QUEUED: ("○", "#6b7280"),
    JobStatus.RUNNING: ("◐", "#2563eb"),
    JobStatus.COMPLETED: ("●", "#15803d"),
    JobStatus.FAILED: ("✕", "#b91c1c"),
    JobStatus.CANCELLED: ("⊘", "#6b7280"),
}
"""Shape and colour of a status: the shape alone says it."""
_CELL: Final = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"
_MAX_ROWS: Final = 20


def job_html(job: JobSummary, base_url: str) -> str:
    """One job: its state with the reason, its model, its metrics, and what it used."""
    facts: list[tuple[str, str]] = [("status", _status(job))]
    if job.message:
        facts.append(("why", escape(job.message)))
    if job.model_name:
        facts.append(("model", escape(f"{job.model_name}{f' version {job.model_version}' if job.model_version else ''}")))
    else:
        facts.append(("experiment", escape(job.experiment_name)))
    if job.duration_seconds is not None:
        facts.append(("took", f"{job.duration_seconds:.1f} s"))
    facts.append(("asks for", escape(str(job.resources))))
    if isinstance(job, JobView):
        if job.usage is not None:
            peak = format_bytes(job.usage.peak_memory_bytes)
            facts.append(("used", f"{job.usage.cpu_seconds:.1f} CPU s, {escape(peak)} at most"))
        facts += [(name, _number(value)) for name, value in list(job.metrics.items())[:_MAX_ROWS]]
    return _titled(job.job_id, f"{base_url}/console/jobs/{quote(job.job_id)}", _facts(facts))


def jobs_html(jobs: Iterable[JobSummary], base_url: str) -> str:
    rows = [
        (
            _link(job.job_id, f"{base_url}/console/jobs/{quote(job.job_id)}"),
            _status(job),
            escape(f"{job.model_name or job.experiment_name}{f' v{job.model_version}' if job.model_version else ''}"),
            escape(job.owner),
            "-" if job.duration_seconds is None else f"{job.duration_seconds:.1f} s",
        )
        for job in jobs
    ]
    return _table(("job", "status", "model", "owner", "took"), rows) if rows else "<p>There is no job.</p>"


def models_html(models: Iterable[ModelSummary], base_url: str) -> str:
    rows = [
        (
            _link(model.model_name, f"{base_url}/console/models/{quote(model.model_name)}"),
            escape(model.latest_version or "-"),
            escape(", ".join(model.ready_versions) or "-"),
            escape(", ".join(f"{alias} → {version}" for alias, version in model.aliases.items()) or "-"),
        )
        for model in models
    ]
    return _table(("model", "newest", "ready", "aliases"), rows) if rows else "<p>There is no model.</p>"


def sweep_html(view: SweepView, rows: Sequence[SweepRow], base_url: str) -> str:
    """A sweep as a table, the best job first and bold."""
    parameters = list(dict.fromkeys(name for row in rows for name in row.parameters))
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    if view.metric in metrics:
        metrics.sort(key=lambda name: name != view.metric)
    best = view.best.job_id if view.best else None
    cells = [
        [
            _link(row.job_id, f"{base_url}/console/jobs/{quote(row.job_id)}"),
            _sign(row.status),
            *(escape(row.parameters.get(name, "")) for name in parameters),
            *("" if row.metrics.get(name) is None else _number(row.metrics[name]) for name in metrics[:6]),
        ]
        for row in rows
    ]
    drawn = [[f"<b>{cell}</b>" for cell in each] if row.job_id == best else each for row, each in zip(rows, cells, strict=True)]
    table = _table(("job", "status", *parameters, *metrics[:6]), drawn)
    return _titled(f"{view.sweep_id} · {view.status}", f"{base_url}/console/sweeps/{quote(view.sweep_id)}", table)


def prediction_html(
    title: str, predictions: Sequence[Any], probabilities: Sequence[Sequence[float]] | None, classes: Sequence[Any] | None
) -> str:
    """Predictions as a table, with a column of probabilities for each class."""
    names = [f"p({name})" for name in classes or ()] if probabilities is not None else []
    rows = [
        (
            str(number),
            escape(str(value)),
            *(f"{p:.4f}" for p in (probabilities[number] if probabilities is not None and names else ())),
        )
        for number, value in enumerate(predictions[:_MAX_ROWS])
    ]
    more = len(predictions) - _MAX_ROWS
    end = f"<p>{more} more rows</p>" if more > 0 else ""
    return f"<div><b>{escape(title)}</b>{_table(('', 'prediction', *names), rows)}{end}</div>"


def progress_html(view: JobView) -> str:
    """One line with the state, and a bar that shows where the time went."""
    total = sum(view.phases.values()) or 1.0
    shades = ("#93c5fd", "#60a5fa", "#3b82f6", "#2563eb", "#1d4ed8", "#1e40af")
    parts = "".join(
        f'<span title="{escape(name)} {seconds:.1f} s" style="display:inline-block;height:6px;'
        f'width:{100 * seconds / total:.2f}%;background:{shades[index % len(shades)]}"></span>'
        for index, (name, seconds) in enumerate(view.phases.items())
    )
    words = ", ".join(f"{escape(name)} {seconds:.1f} s" for name, seconds in view.phases.items())
    why = f"<br>{escape(view.message)}" if view.message else ""
    line = f"{_status(view)} <code>{escape(view.job_id)}</code> <small>{words}</small>{why}"
    return f'<div>{line}<div style="width:320px">{parts}</div></div>'


def _status(job: JobSummary) -> str:
    place = f" · place {job.queue_position}" if job.queue_position is not None else ""
    reason = f" · {job.reason.replace('_', ' ')}" if job.reason else ""
    return f"{_sign(job.status)}{escape(place + reason)}"


def _sign(status: str) -> str:
    sign, colour = _SIGNS.get(status, ("?", "#6b7280"))
    return f'<span style="color:{colour}">{sign}</span> {escape(status)}'


def _number(value: float | None) -> str:
    return "NaN" if value is None else f"{value:.6g}"


def _link(text: str, to: str) -> str:
    return f'<a href="{escape(to)}" target="_blank" rel="noopener">{escape(text)}</a>'


def _titled(title: str, to: str, body: str) -> str:
    return f"<div><b>{_link(title, to)}</b>{body}</div>"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{value}</td></tr>' for name, value in facts)
    return f"<table>{rows}</table>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """``rows`` are HTML already; ``columns`` are text."""
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f'<td style="{_CELL}">{value}</td>' for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
