"""``raylift rollout``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.rollouts.rollouts import RolloutPageView, RolloutView, StepView
from raylift.cli.exits import ExitCode, stop, wrong_usage
from raylift.cli.names import ModelArgument
from raylift.cli.options import CursorOption, LimitOption
from raylift.cli.printing import age, cell, echo, print_facts, print_json, print_table, say, say_next_page
from raylift.cli.session import Session, command
from raylift.domain.rollouts.rollout import RolloutStatus

app = typer.Typer(
    help="Rollouts: requests go to a new version step by step, and back by themselves if it is worse.", no_args_is_help=True
)

Named = Annotated[
    str, typer.Argument(metavar="ROLLOUT", help="Id of the rollout, or its model: the active or last one.", show_default=False)
]
Reason = Annotated[str | None, typer.Option("--reason", help="Shown in the history, the audit and the event.")]
Steps = Annotated[
    str | None,
    typer.Option(
        "--steps",
        metavar="STEP,STEP…",
        help="shadow, approval, or percent; then :seconds and :requests, e.g. shadow:300,5:600:100,approval,100.",
    ),
]
GuardOption = Annotated[
    list[str] | None,
    typer.Option(
        "--guard", metavar="NAME=LIMIT", help="e.g. p95_ratio=1.5, error_increase=0.01, rmse_ratio=off; may be repeated."
    ),
]


def _print(view: RolloutView) -> None:
    present = "" if view.step is None else f"{view.step} of {len(view.steps)}"
    print_facts(
        [
            ("rollout", view.rollout_id),
            ("model", view.model_name),
            ("versions", f"{view.champion} -> {view.candidate}"),
            ("alias", view.alias),
            ("status", view.status),
            ("step", present),
            ("message", view.message),
            ("started", f"{cell(view.created_at)} by {view.created_by}"),
            ("ended", cell(view.finished_at) if view.finished_at else None),
        ]
    )
    rows = [(number, _step(step), step.state) for number, step in enumerate(view.steps, 1)]
    print_table(("step", "what", "state"), rows)
    figures = [
        (each.version, each.requests, each.failures, None if each.p95_seconds is None else f"{each.p95_seconds * 1000:.1f} ms")
        for each in view.versions
    ]
    print_table(("version", "requests", "failed", "p95"), figures)


def _step(step: StepView) -> str:
    what = f"{step.weight:g} %" if step.weight else step.kind
    wait = [f"{step.pause_seconds:g} s"] if step.pause_seconds else []
    return ", ".join([what, *wait, *([f"{step.min_requests} requests"] if step.min_requests else [])])


@command(app, "start", takes_owner=True)
def start(
    session: Session,
    name: ModelArgument,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The candidate, or an alias of it.", show_default=False)],
    steps: Steps = None,
    guard: GuardOption = None,
    alias: Annotated[str | None, typer.Option(help="Alias that moves at the end. Omitted: that of the table.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print each step until the rollout has ended.")] = False,
) -> None:
    """Start a rollout from the version that answers now. Without --steps: shadow:300,5:600:100,25:600:100,100."""
    made = session.client.rollouts.start(
        name,
        version,
        steps=None if steps is None else parse_steps(steps),
        guards=parse_guards(guard) if guard else None,
        alias=alias,
    )
    if follow:
        _follow(session, made.rollout_id)
    else:
        session.print(made.model_dump(mode="json"), lambda: _print(made))


def _print_list(page: RolloutPageView) -> None:
    rows = [
        (
            each.rollout_id,
            each.model_name,
            f"{each.champion} -> {each.candidate}",
            each.status,
            None if each.step is None else f"{each.step}/{len(each.steps)}",
            age(each.created_at),
            each.message,
        )
        for each in page.rollouts
    ]
    print_table(("rollout", "model", "versions", "status", "step", "age", "message"), rows)
    say_next_page(page.next_cursor)


@command(app, "list", RolloutPageView, _print_list)
def list_rollouts(
    session: Session,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this model's.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--ended", help="Only those that have not, or have, ended.")] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
) -> Any:
    """List rollouts, newest first."""
    asked = {"model_name": model, "active": active, "limit": limit, "cursor": cursor}
    return session.client.request("GET", paths.ROLLOUTS, params=asked)


@command(app, "show")
def show(
    session: Session,
    name: Named,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print each step until the rollout has ended.")] = False,
) -> None:
    """Show a rollout: its steps, what was observed, and its reason."""
    if follow:
        _follow(session, name)
        return
    view = session.client.rollouts.get(name)
    session.print(view.model_dump(mode="json"), lambda: _print(view))


@command(app, "approve", RolloutView, _print)
def approve(session: Session, name: Named) -> Any:
    """Let a rollout go on that waits for approval."""
    return session.client.request("POST", paths.rollout(name, "approve"))


@command(app, "reject", RolloutView, _print)
def reject(session: Session, name: Named, reason: Reason = None) -> Any:
    """Roll back a rollout that waits for approval."""
    return session.client.request("POST", paths.rollout(name, "reject"), json={"reason": reason})


@command(app, "pause", RolloutView, _print)
def pause(session: Session, name: Named) -> Any:
    """Hold a rollout at its step. Its guards go on."""
    return session.client.request("POST", paths.rollout(name, "pause"))


@command(app, "resume", RolloutView, _print)
def resume(session: Session, name: Named) -> Any:
    """Let a paused rollout go on. The pause does not count for the step."""
    return session.client.request("POST", paths.rollout(name, "resume"))


@command(app, "abort", RolloutView, _print)
def abort(session: Session, name: Named, reason: Reason = None) -> Any:
    """End a rollout with the traffic that there was before."""
    return session.client.request("POST", paths.rollout(name, "abort"), json={"reason": reason})


@command(app, "promote", RolloutView, _print)
def promote(session: Session, name: Named) -> Any:
    """Skip the steps that are left: the candidate answers every request now, and the alias moves."""
    return session.client.request("POST", paths.rollout(name, "promote"))


def parse_steps(text: str) -> list[dict[str, Any]]:
    """Return the steps of ``shadow:300,5:600:100,approval,100``. Exits with a usage error where it is something else."""
    return [_parse_step(each.strip()) for each in text.split(",")]


def parse_guards(texts: list[str]) -> dict[str, float | None]:
    """Return guards by name; ``off`` is None."""
    found: dict[str, float | None] = {}
    for text in texts:
        name, _, limit = text.partition("=")
        try:
            found[name.strip()] = None if limit.strip() in ("off", "none") else float(limit)
        except ValueError as error:
            raise wrong_usage(repr(text), "is not NAME=LIMIT, like p95_ratio=1.5 or rmse_ratio=off") from error
    return found


def _parse_step(text: str) -> dict[str, Any]:
    what, *waits = text.split(":")
    step: dict[str, Any] = {what: True} if what in ("shadow", "approval") else {}
    try:
        if not step:
            step["weight"] = float(what.removesuffix("%"))
        seconds, requests = (*waits, *[""] * (2 - len(waits)))
        step |= {"pause_seconds": float(seconds)} if seconds else {}
        step |= {"min_requests": int(requests)} if requests else {}
    except ValueError as error:
        raise wrong_usage(repr(text), "is not a step, like shadow:300, 5:600:100, approval or 100") from error
    return step


def _follow(session: Session, name: str) -> None:
    last: RolloutView | None = None
    try:
        for view in session.client.rollouts.follow(name):
            last = view
            if session.as_json:
                print_json(view.model_dump(mode="json"))
            else:
                echo(f"{cell(view.updated_at)}  {view.status}  {view.message}")
    except KeyboardInterrupt:
        say(f"\nDetached; the rollout goes on. raylift rollout show {name} --follow comes back.")
        raise stop("", ExitCode.INTERRUPTED) from None
    if last is not None and last.finished_at is not None and last.status != RolloutStatus.COMPLETED:
        raise stop(f"{last.rollout_id} is {last.status}", ExitCode.FAILED)
