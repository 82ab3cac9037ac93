"""``raylift audit``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.access import AuditEntryView, AuditPageView
from raylift.cli.options import CursorOption, LimitOption
from raylift.cli.printing import echo, print_table, say
from raylift.cli.session import Session, command
from raylift.domain.audit import Outcome

_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


def _print(page: AuditPageView) -> None:
    print_table(("at", "who", "action", "target", "outcome", "detail", "from"), (_row(entry) for entry in page.entries))
    if page.next_cursor:
        say(f"more: --cursor {page.next_cursor}")


def _row(entry: AuditEntryView) -> tuple[object, ...]:
    at = f"{entry.at:%Y-%m-%d %H:%M:%S}"
    return at, entry.who or "(unknown)", entry.action, entry.target, entry.outcome, entry.detail, entry.address


def register(root: typer.Typer) -> None:
    """Add ``audit``."""
    command(root, "audit", AuditPageView, _print)(audit)
    command(root, "audit-export")(export)


WhoOption = Annotated[str | None, typer.Option(help="Only entries of this caller.")]
ActionOption = Annotated[str | None, typer.Option(help="Only this action, or with a dot at its end a subject: job.")]
TargetOption = Annotated[str | None, typer.Option(help="Only entries on this job, sweep, key or model.")]
WorkspaceOption = Annotated[str | None, typer.Option(help="Only entries of this workspace.")]
OutcomeOption = Annotated[Outcome | None, typer.Option(help="Only entries with this outcome.")]
SinceOption = Annotated[datetime | None, typer.Option(formats=_TIMES, help="Only entries from this time on (UTC).")]
UntilOption = Annotated[datetime | None, typer.Option(formats=_TIMES, help="Only entries before this time (UTC).")]


def audit(
    session: Session,
    who: WhoOption = None,
    action: ActionOption = None,
    target: TargetOption = None,
    workspace: WorkspaceOption = None,
    outcome: OutcomeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
) -> Any:
    """Show who did what: every write, and every refused request. Needs the role admin."""
    query = _query(who, action, target, workspace, outcome, since, until)
    return session.client.request("GET", paths.AUDIT, params={**query, "limit": limit, "cursor": cursor})


def export(
    session: Session,
    file: Annotated[Path, typer.Argument(help="File to write; - for standard output.", dir_okay=False, allow_dash=True)],
    who: WhoOption = None,
    action: ActionOption = None,
    target: TargetOption = None,
    workspace: WorkspaceOption = None,
    outcome: OutcomeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
) -> None:
    """Write the audit as JSON lines, newest first. Needs the role admin."""
    query = _query(who, action, target, workspace, outcome, since, until)
    lines = session.client.audit.export(**query)
    if str(file) == "-":
        for line in lines:
            echo(line)
        return
    count = 0
    with file.open("w", encoding="utf-8") as written:
        for line in lines:
            written.write(line + "\n")
            count += 1
    say(f"{count} entries in {file}.")


def _query(
    who: str | None,
    action: str | None,
    target: str | None,
    workspace: str | None,
    outcome: Outcome | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[str, Any]:
    times = {"since": since.isoformat() if since else None, "until": until.isoformat() if until else None}
    return {"who": who, "action": action, "target": target, "workspace": workspace, "outcome": outcome, **times}
