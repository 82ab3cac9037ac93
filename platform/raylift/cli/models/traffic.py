"""``raylift traffic``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.traffic import TrafficChangeView, TrafficHistory, TrafficTableView, TrafficView
from raylift.cli.exits import wrong_usage
from raylift.cli.names import ModelArgument
from raylift.cli.printing import age, print_table, say
from raylift.cli.session import Session, command

app = typer.Typer(help="Traffic tables: the versions that answer requests which name only the model.", no_args_is_help=True)


def _print(view: TrafficView) -> None:
    if not view.routes:
        say(f"{view.model_name} has no traffic table: the newest version that answers gets every request")
    else:
        say(f"revision {view.revision}, by {view.updated_by}{_sticky(view)}")
    rows = [
        (
            version.model_version,
            version.alias,
            "copies" if version.shadow else f"{version.share:.1%}",
            version.status,
            version.replicas,
        )
        for version in view.versions
    ]
    print_table(("version", "alias", "share", "status", "replicas"), rows)


@command(app, "show", TrafficView, _print)
def show(session: Session, name: ModelArgument) -> Any:
    """Show a model's traffic table and the share of each version."""
    return session.client.request("GET", paths.traffic(name))


@command(app, "set", TrafficView, _print)
def set_traffic(
    session: Session,
    name: ModelArgument,
    routes: Annotated[
        list[str], typer.Argument(metavar="VERSION=WEIGHT...", help="e.g. 3=90 4=10, or champion=1.", show_default=False)
    ],
    shadow: Annotated[
        list[str] | None, typer.Option("--shadow", help="A version or alias that gets a copy of each request.")
    ] = None,
    sticky_header: Annotated[
        str | None, typer.Option(help="Send requests with the same value of this header to the same version.")
    ] = None,
    sticky_field: Annotated[str | None, typer.Option(help="The same with a field of the body, e.g. params.user.")] = None,
) -> Any:
    """Replace a model's traffic table: divide its requests between versions.

    Weights are shares of their sum. One version alone gets every request; write its weight as 1 or 100.
    """
    table = [_route(text) for text in routes]
    if len(table) == 1 and table[0]["weight"] not in (1, 100):
        raise wrong_usage(routes[0], _rest_missing(routes[0], **table[0]))
    body: dict[str, Any] = {"routes": table, "shadow": shadow or []}
    if sticky_header is not None or sticky_field is not None:
        body["sticky"] = {"header": sticky_header, "field": sticky_field}
    return session.client.request("PUT", paths.traffic(name), json=body)


@command(app, "delete", TrafficView, _print)
def delete(session: Session, name: ModelArgument) -> Any:
    """Delete the table: the newest version that answers gets every request again."""
    return session.client.request("DELETE", paths.traffic(name))


def _print_history(history: TrafficHistory) -> None:
    rows = [
        (change.sequence, change.action, change.who, _before(change), _after(change), change.revision, age(change.at))
        for change in history.changes
    ]
    print_table(("change", "action", "who", "before", "after", "revision", "age"), rows)


@command(app, "history", TrafficHistory, _print_history)
def history(
    session: Session,
    name: ModelArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="Maximum length of the list.")] = 20,
) -> Any:
    """List changes of the table and of aliases, and who made them; newest first."""
    return session.client.request("GET", paths.traffic(name) + "/history", params={"limit": limit})


@command(app, "rollback", TrafficView, _print)
def rollback(
    session: Session,
    name: ModelArgument,
    revision: Annotated[int | None, typer.Option(help="Return to this revision of the table instead.")] = None,
    alias: Annotated[str | None, typer.Option(help="Undo the last move of this alias instead.")] = None,
) -> Any:
    """Undo the last change of the table, or of an alias that it names."""
    if revision is not None and alias is not None:
        raise wrong_usage("--revision", "cannot be used together with --alias")
    body = {field: value for field, value in {"revision": revision, "alias": alias}.items() if value is not None}
    return session.client.request("POST", paths.model(name) + "/rollback", json=body)


def _rest_missing(text: str, version: str, weight: float) -> str:
    if weight <= 0:
        return "leaves no version that answers; name one with a weight above 0 beside it"
    rest = f"{100 - weight:g}" if weight < 100 else "…"
    return (
        f"says nothing of the other requests, and alone would send all of them to {version}. Name the version that gets the "
        f"rest, like OTHER={rest} {text}; to send {version} everything, write {version}=1"
    )


def _route(text: str) -> dict[str, Any]:
    version, _, weight = text.partition("=")
    try:
        return {"version": version, "weight": float(weight)}
    except ValueError as error:
        raise wrong_usage(repr(text), "is not VERSION=WEIGHT, like 3=90 or champion=1") from error


def _sticky(view: TrafficTableView) -> str:
    if view.sticky is None:
        return ""
    return f", sticky by header {view.sticky.header}" if view.sticky.header else f", sticky by field {view.sticky.field}"


def _before(change: TrafficChangeView) -> str:
    return _alias(change, change.before_version) or _table(change.before)


def _after(change: TrafficChangeView) -> str:
    return _alias(change, change.after_version) or _table(change.after)


def _alias(change: TrafficChangeView, version: str | None) -> str | None:
    return None if change.alias is None else f"{change.alias}: {version or 'none'}"


def _table(table: TrafficTableView | None) -> str:
    if table is None:
        return "newest"
    routes = [f"{route.version or route.alias}={route.weight:g}" for route in table.routes]
    return " ".join([*routes, *(f"copies={target}" for target in table.shadow)]) + _sticky(table)
