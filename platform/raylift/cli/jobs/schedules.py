"""``raylift schedule``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.jobs.schedules import ScheduleList, ScheduleRunPage, ScheduleRunView, ScheduleSummary, ScheduleView
from raylift.cli.exits import wrong_usage
from raylift.cli.jobs.schedule_template import TemplateCommand, read_command
from raylift.cli.jobs.train import announce
from raylift.cli.options import CursorOption, LimitOption
from raylift.cli.printing import cell, pairs, print_facts, print_table, say, say_next_page
from raylift.cli.session import Session, command
from raylift.domain.schedules.schedule import Overlap

app = typer.Typer(help="Jobs at the moments of a cron expression: create, list, pause, run now, history.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the schedule.", show_default=False)]
Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="-- train|batch …", help="The command, as `raylift train` or `raylift batch` takes it.", show_default=False
    ),
]
OverlapHelp = "While a job of it has not ended: make no job, let one moment wait for the end, or cancel the job."
CatchUpHelp = "Age in seconds at which a due moment is missed, e.g. because the platform did not run."
JitterHelp = "Make jobs up to so many seconds after their moment."
JobHelp = "In place of -- train: id of a job to run again each time, with its locked requirements."


def _moment(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M %z}"


def _last(run: ScheduleRunView | None) -> str:
    return "-" if run is None else run.job_status or run.outcome


def _print_list(found: ScheduleList) -> None:
    rows = [(each.name, each.cron, each.timezone, _next(each), _last(each.last_run), each.owner) for each in found.schedules]
    print_table(("name", "cron", "timezone", "next", "last", "owner"), rows)


def _next(schedule: ScheduleSummary) -> str:
    return "paused" if schedule.paused else _moment(next(iter(schedule.next_runs), None))


@command(app, "list", ScheduleList, _print_list)
def list_schedules(session: Session) -> Any:
    """List schedules with their next moment in their own time zone."""
    return session.client.request("GET", paths.SCHEDULES)


def _print(view: ScheduleView) -> None:
    print_facts(
        [
            ("name", view.name),
            ("id", view.schedule_id),
            ("cron", f"{view.cron} ({view.timezone})"),
            ("next", "paused" if view.paused else ", ".join(map(_moment, view.next_runs[:5]))),
            ("overlap", view.overlap),
            ("catch-up", f"{view.catch_up_seconds} s"),
            ("jitter", f"{view.jitter_seconds} s" if view.jitter_seconds else None),
            ("owner", view.owner),
            ("runs", f"{view.kind} {view.entrypoint or view.script_name}"),
            ("experiment", view.experiment_name),
            ("model", view.model_name),
            ("input", view.input),
            ("output", view.output),
            ("arguments", " ".join(view.args)),
            ("params", pairs(dict(view.params))),
            ("secrets", ", ".join(view.secrets)),
            ("last", _last(view.last_run)),
            ("changed", f"{cell(view.updated_at)} by {view.updated_by}"),
        ]
    )
    for note in view.notes:
        say(f"Note: {note}")


@command(app, "show", ScheduleView, _print)
def show(session: Session, name: Name) -> Any:
    """Show a schedule with its next moments."""
    return session.client.request("GET", paths.schedule(name))


@command(app, "create", takes_owner=True)
def create(
    session: Session,
    name: Name,
    cron: Annotated[str, typer.Option(help="Five fields as in crontab, or @daily and the like.", show_default=False)],
    words: Command = None,
    timezone: Annotated[str, typer.Option(help="IANA time zone in which the expression is read.")] = "UTC",
    overlap: Annotated[Overlap, typer.Option(help=OverlapHelp)] = Overlap.SKIP,
    catch_up: Annotated[int, typer.Option(metavar="SECONDS", help=CatchUpHelp)] = 86_400,
    jitter: Annotated[int, typer.Option(metavar="SECONDS", help=JitterHelp)] = 0,
    paused: Annotated[bool, typer.Option("--paused", help="Make no jobs until it is resumed.")] = False,
    job: Annotated[str | None, typer.Option(metavar="JOB", help=JobHelp)] = None,
) -> None:
    """Create a schedule: raylift schedule create nightly --cron "0 3 * * *" --timezone Europe/Berlin -- train train.py.

    The command after -- has the options of `raylift train`, or of `raylift batch` on paths of the platform or in S3, with
    {date} or {time} in the output. It is stored now, and runs at each moment with the rights that you have then.
    """
    template = read_command(words or [])
    if (template is None) == (job is None):
        raise wrong_usage("-- train", "give the command after --, or --job: a schedule has one template")
    view = _sent(
        session.client.schedules.create,
        template,
        name,
        cron=cron,
        timezone=timezone,
        overlap=overlap.value,
        catch_up_seconds=catch_up,
        jitter_seconds=jitter,
        paused=paused,
        rerun=job,
    )
    session.print(view.model_dump(mode="json"), lambda: _print(view))


@command(app, "update", takes_owner=True)
def update(
    session: Session,
    name: Name,
    words: Command = None,
    cron: Annotated[str | None, typer.Option(help="New expression.")] = None,
    timezone: Annotated[str | None, typer.Option(help="New time zone.")] = None,
    overlap: Annotated[Overlap | None, typer.Option(help=OverlapHelp)] = None,
    catch_up: Annotated[int | None, typer.Option(metavar="SECONDS", help=CatchUpHelp)] = None,
    jitter: Annotated[int | None, typer.Option(metavar="SECONDS", help=JitterHelp)] = None,
    job: Annotated[str | None, typer.Option(metavar="JOB", help=JobHelp)] = None,
    take_over: Annotated[bool, typer.Option("--take-over", help="Become the owner: jobs have your rights.")] = False,
) -> None:
    """Change a schedule. With a new upload after --, or a job, you become its owner."""
    template = read_command(words or [])
    view = _sent(
        session.client.schedules.update,
        template,
        name,
        cron=cron,
        timezone=timezone,
        overlap=overlap.value if overlap else None,
        catch_up_seconds=catch_up,
        jitter_seconds=jitter,
        rerun=job,
        take_over=take_over,
    )
    session.print(view.model_dump(mode="json"), lambda: _print(view))


def _sent(send: Any, template: TemplateCommand | None, name: str, **options: Any) -> ScheduleView:
    given = {} if template is None else template.options
    script = None if template is None else template.script
    try:
        return send(name, script, **options, **given)
    except (ValueError, OSError) as error:
        raise wrong_usage(str(script or "-- train"), str(error)) from error


@command(app, "pause")
def pause(session: Session, name: Name) -> None:
    """Make no jobs until it is resumed. Jobs that it has made go on."""
    view = session.client.schedules.pause(name)
    session.print(view.model_dump(mode="json"), lambda: say(f"{view.name} is paused"))


@command(app, "resume")
def resume(session: Session, name: Name) -> None:
    """Go on with the next moment. Those of the pause do not come again."""
    view = session.client.schedules.resume(name)
    session.print(view.model_dump(mode="json"), lambda: say(f"{view.name} runs next at {_next(view)}"))


@command(app, "run")
def run(session: Session, name: Name) -> None:
    """Make a job at once, and print its id."""
    announce(session, session.client.schedules.run(name))


def _print_runs(page: ScheduleRunPage) -> None:
    rows = [
        (
            _moment(each.due_at),
            f"{each.outcome} (now)" if each.manual else each.outcome,
            each.job_id,
            each.job_status,
            each.message,
        )
        for each in page.runs
    ]
    print_table(("due", "outcome", "job", "status", "message"), rows)
    say_next_page(page.next_cursor)


@command(app, "runs", ScheduleRunPage, _print_runs)
def runs(session: Session, name: Name, limit: LimitOption = 20, cursor: CursorOption = None) -> Any:
    """List the moments of a schedule, newest first: their jobs, and why others made none."""
    return session.client.request("GET", paths.schedule(name, "runs"), params={"limit": limit, "cursor": cursor})


@command(app, "rm")
def remove(session: Session, name: Name) -> None:
    """Delete a schedule with its history. Its jobs stay, and go on."""
    session.client.schedules.delete(name)
    say(f"{name} is deleted")
