"""``raylift traffic``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.traffic import TrafficChangeView, TrafficHistory, TrafficTableView, TrafficView
from raylift.cli.exits import wrong_usage
from raylift.cli.printing import age, print_json, print_table, say
from raylift.cli.session import KeyOption, OutputOption, UrlOption, session

app = typer.Typer(help="Which versions answer requests that name only a model.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model.", show_default=False)]


@app.command("show")
def show(ctx: typer.Context, name: Name, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None) -> None:
    """Show a model's traffic table, and the versions that it comes to now."""
    with session(ctx, url, api_key, output) as here:
        _print(here.client.request("GET", paths.traffic(name)), here.as_json)


@app.command("set")
def set_traffic(
    ctx: typer.Context,
    name: Name,
    routes: Annotated[
        list[str], typer.Argument(metavar="VERSION=WEIGHT...", help="e.g. 3=90 4=10, or champion=1.", show_default=False)
    ],
    shadow: Annotated[
        list[str] | None, typer.Option("--shadow", help="A version or alias that gets a copy of each request.")
    ] = None,
    sticky_header: Annotated[str | None, typer.Option(help="The same value of this header meets the same version.")] = None,
    sticky_field: Annotated[str | None, typer.Option(help="The same for a field of the body, e.g. params.user.")] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Divide a model's requests between versions, in the place of what is there.

    The weights are shares of their sum: one version alone gets every request, and is given the weight 1 or 100.
    """
    table = [_route(text) for text in routes]
    if len(table) == 1 and table[0]["weight"] not in (1, 100):
        raise wrong_usage(routes[0], _rest_missing(routes[0], **table[0]))
    body: dict[str, Any] = {"routes": table, "shadow": shadow or []}
    if sticky_header is not None or sticky_field is not None:
        body["sticky"] = {"header": sticky_header, "field": sticky_field}
    with session(ctx, url, api_key, output) as here:
        _print(here.client.request("PUT", paths.traffic(name), json=body), here.as_json)


@app.command("delete")
def delete(
    ctx: typer.Context, name: Name, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """Take the table away: the newest version that answers gets every request again."""
    with session(ctx, url, api_key, output) as here:
        _print(here.client.request("DELETE", paths.traffic(name)), here.as_json)


@app.command("history")
def history(
    ctx: typer.Context,
    name: Name,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="The most changes.")] = 20,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """List who changed the table and the aliases, newest first."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.traffic(name) + "/history", params={"limit": limit})
        if here.as_json:
            print_json(answer)
            return
        rows = [
            (change.sequence, change.action, change.who, _before(change), _after(change), change.revision, age(change.at))
            for change in TrafficHistory.model_validate(answer).changes
        ]
        print_table(("change", "action", "who", "before", "after", "revision", "age"), rows)


@app.command("rollback")
def rollback(
    ctx: typer.Context,
    name: Name,
    revision: Annotated[int | None, typer.Option(help="Go back to this revision of the table instead.")] = None,
    alias: Annotated[str | None, typer.Option(help="Undo the last move of this alias instead.")] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Undo the last change of the table, or of an alias that it names."""
    if revision is not None and alias is not None:
        raise wrong_usage("--revision", "cannot be used together with --alias")
    body = {field: value for field, value in {"revision": revision, "alias": alias}.items() if value is not None}
    with session(ctx, url, api_key, output) as here:
        _print(here.client.request("POST", paths.model(name) + "/rollback", json=body), here.as_json)


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


def _print(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    view = TrafficView.model_validate(answer)
    if not view.routes:
        say(f"{view.model_name} has no traffic table: the newest version that answers gets every request")
    else:
        say(f"revision {view.revision}, by {view.updated_by}{_sticky(view)}")
    rows = [
        (
            seen.model_version,
            seen.alias,
            "copies" if seen.shadow else f"{seen.share:.1%}",
            seen.status,
            seen.replicas,
        )
        for seen in view.versions
    ]
    print_table(("version", "alias", "share", "status", "replicas"), rows)


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
