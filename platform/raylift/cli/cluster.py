"""``raylift cluster`` and ``raylift queue``; the state of a platform by its URL."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from raylift.api import paths
from raylift.api.cluster.nodes import ClusterView, HeldView, HolderView, OwnerView, QueueView, ReservationView
from raylift.api.cluster.overview import Overview
from raylift.api.training import JobSummary
from raylift.cli.exits import ExitCode
from raylift.cli.printing import Output, age, cell, echo, print_facts, print_table, say
from raylift.cli.session import Session, command, open_session
from raylift.domain.quantities import format_bytes

_OTHERS: Final = "(another workspace)"

UrlArgument = Annotated[
    str | None, typer.Argument(metavar="URL", help="A platform anywhere; default: that of --state-dir.", show_default=False)
]


def register(root: typer.Typer) -> None:
    """Add ``cluster`` and ``queue``."""
    command(root, "cluster", ClusterView, _print_cluster)(cluster)
    command(root, "queue", QueueView, _print_queue)(queue)


def cluster(session: Session) -> Any:
    """Show the nodes, what is used, and by which jobs and replicas."""
    return session.client.request("GET", paths.CLUSTER)


def queue(
    session: Session, limit: Annotated[int, typer.Option("--limit", "-n", help="Number of waiting jobs.", min=1)] = 50
) -> Any:
    """Show the waiting jobs with their places, what each waits for, who holds it, and the owners with their quotas."""
    return session.client.request("GET", paths.QUEUE, params={"limit": limit})


def show_status(ctx: typer.Context, url: str, api_key: str | None, ca: str | None, output: Output | None) -> None:
    """Print the state of the platform at ``url``. Exit code 1 where a part is down."""
    with open_session(ctx, url=url, api_key=api_key, ca=ca, output=output) as session:
        overview = session.client.overview()
        session.print(overview.model_dump(mode="json"), lambda: _print_overview(session.client.base_url, overview))
    if not all(part.ok for part in overview.parts.values()):
        raise typer.Exit(ExitCode.FAILED)


def _print_overview(url: str, overview: Overview) -> None:
    rows = [(name, "ok" if part.ok else "down", part.detail or "") for name, part in overview.parts.items()]
    print_table(("part", "health", "detail"), rows)
    print_facts(
        [
            ("API", url),
            ("Version", overview.version),
            ("Jobs", _counts(overview.jobs)),
            ("Deployments", _counts(overview.deployments)),
        ]
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count) or "none"


def _print_cluster(found: ClusterView) -> None:
    if not found.nodes:
        say("Ray lists no node now.")
    rows = [
        (
            f"{node.name} (head)" if node.is_head else node.name,
            f"{node.held.cpus:g} of {node.cpus:g}",
            f"{format_bytes(node.held.memory)} of {format_bytes(node.memory)}",
            f"{node.held.gpus:g} of {node.gpus:g}" if node.gpus else "-",
            f"{node.reserved_cpus:g} CPU" if node.reserved_cpus else "-",
            node.held.jobs,
        )
        for node in found.nodes
    ]
    print_table(("node", "cpus held", "memory held", "gpus held", "reserved", "jobs"), rows)
    _say_reservation(found.reservation)
    _print_holders(found.holders)
    if found.replicas:
        echo("")
        print_table(
            ("replicas of", "count", "cpus", "memory", "gpus"),
            [
                (
                    f"{row.model_name} v{row.model_version}",
                    row.replicas,
                    f"{row.cpus:g}",
                    _bytes(row.memory),
                    f"{row.gpus:g}" if row.gpus else "-",
                )
                for row in found.replicas
            ],
        )
    if found.queued:
        say(f"{found.queued} {'job waits' if found.queued == 1 else 'jobs wait'}: raylift queue")


def _print_queue(found: QueueView) -> None:
    print_table(("place", "job", "owner", "asks for", "priority", "age", "waits for"), map(_waiting, found.waiting))
    if len(found.waiting) < found.total:
        say(f"{found.total - len(found.waiting)} more wait.")
    _say_reservation(found.reservation)
    _print_holders(found.holders)
    if found.owners:
        echo("")
        print_table(("owner", "running", "waiting", "cpus", "memory"), map(_owner, found.owners))


def _say_reservation(kept: ReservationView | None) -> None:
    if kept is not None:
        job = f"job {kept.job_id} of {kept.owner}" if kept.job_id else f"a job {_OTHERS}"
        say(f"Node {kept.node} is set aside for {job}: no other job starts there until it fits.")


def _print_holders(holders: list[HolderView]) -> None:
    if not holders:
        return
    echo("")
    rows = [
        (
            holder.job_id or _OTHERS,
            holder.phase,
            holder.owner or "-",
            f"{holder.cpus:g}",
            format_bytes(holder.memory),
            holder.node,
            age(holder.since),
            cell(holder.ends_by),
        )
        for holder in holders
    ]
    print_table(("held by", "phase", "owner", "cpus", "memory", "node", "since", "ends by"), rows)


def _waiting(job: JobSummary) -> tuple[object, ...]:
    asks = str(job.resources)
    return job.queue_position, job.job_id, job.owner, asks, job.priority, age(job.created_at), job.message or job.reason


def _owner(row: OwnerView) -> tuple[object, ...]:
    held: HeldView = row.held
    quota = row.quota
    return (
        row.owner,
        _of(held.jobs, quota.max_running_jobs),
        _of(row.queued, quota.max_queued_jobs),
        _of(f"{held.cpus:g}", None if quota.max_cpus is None else f"{quota.max_cpus:g}"),
        _of(format_bytes(held.memory), None if quota.max_memory is None else format_bytes(quota.max_memory)),
    )


def _of(held: object, quota: object) -> str:
    return f"{held}" if quota is None else f"{held} of {quota}"


def _bytes(count: int | None) -> str:
    return "-" if count is None else format_bytes(count)
