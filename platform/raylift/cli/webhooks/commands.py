"""``raylift webhooks``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.webhooks.webhooks import DeliveryPageView, DeliveryState, DeliveryView, Format, WebhookList, WebhookView
from raylift.cli.exits import ExitCode, stop
from raylift.cli.options import CursorOption, LimitOption
from raylift.cli.printing import cell, print_facts, print_table, say, say_next_page
from raylift.cli.session import Session, command
from raylift.domain.webhooks.delivery import DeliveryStatus

app = typer.Typer(help="Events for other programs and for people: create, test, deliveries, rotate.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the webhook.", show_default=False)]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", "-e", metavar="TYPE", help="Type of event, with * and ?; may be repeated. All, if omitted."),
]
Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="MODEL", help="Only events about this model; may be repeated.")
]
Experiments = Annotated[
    list[str] | None,
    typer.Option("--experiment", metavar="EXPERIMENT", help="Only jobs of this experiment; may be repeated."),
]
Owners = Annotated[
    list[str] | None, typer.Option("--of-owner", metavar="OWNER", help="Only jobs of this owner; may be repeated.")
]


def _print_list(found: WebhookList) -> None:
    rows = [
        (each.name, each.url, " ".join(each.events), "paused" if each.paused else "active", each.pending, each.dead)
        for each in found.webhooks
    ]
    print_table(("name", "url", "events", "state", "pending", "dead"), rows)


@command(app, "list", WebhookList, _print_list)
def list_webhooks(session: Session) -> Any:
    """List webhooks with the numbers of their pending and dead deliveries."""
    return session.client.request("GET", paths.WEBHOOKS)


def _print(view: WebhookView) -> None:
    print_facts(
        [
            ("name", view.name),
            ("id", view.webhook_id),
            ("url", view.url),
            ("format", view.format),
            ("events", " ".join(view.events)),
            ("models", " ".join(view.models)),
            ("experiments", " ".join(view.experiments)),
            ("owners", " ".join(view.owners)),
            ("paused", cell(view.paused_at) if view.paused else None),
            ("message", view.message),
            ("pending", view.pending),
            ("dead", view.dead),
            ("changed", f"{cell(view.updated_at)} by {view.updated_by}"),
        ]
    )


@command(app, "show", WebhookView, _print)
def show(session: Session, name: Name) -> Any:
    """Show a webhook, without its secret."""
    return session.client.request("GET", paths.webhook(name))


@command(app, "create", takes_owner=True)
def create(
    session: Session,
    name: Name,
    address: Annotated[str, typer.Argument(metavar="URL", help="Address of the receiver, with https.", show_default=False)],
    event: Events = None,
    model: Models = None,
    experiment: Experiments = None,
    of_owner: Owners = None,
    form: Annotated[
        Format, typer.Option("--format", help="standard, cloudevents, or apprise for Slack, Teams and e-mail (admins).")
    ] = "standard",
) -> None:
    """Create a webhook, which gets the events of your workspace from now on. Its secret is printed once."""
    made = session.client.webhooks.create(
        name,
        address,
        events=event or ("*",),
        models=model or (),
        experiments=experiment or (),
        owners=of_owner or (),
        format=form,
    )
    session.print(made.model_dump(mode="json"), lambda: _print_new(made, made.secret))


def _print_new(view: WebhookView, secret: str | None) -> None:
    _print(view)
    if secret is not None:
        print_facts([("secret", secret)])
        say("The secret is shown this once. Receivers check the signature with it: docs/guides/webhooks.md")


@command(app, "update", takes_owner=True)
def update(
    session: Session,
    name: Name,
    address: Annotated[str | None, typer.Option("--to", metavar="URL", help="New address.")] = None,
    event: Events = None,
    model: Models = None,
    experiment: Experiments = None,
    of_owner: Owners = None,
) -> None:
    """Change a webhook. An option that is given replaces the whole list; --model '' empties it."""
    view = session.client.webhooks.update(
        name,
        url=address,
        events=_patterns(event),
        models=_patterns(model),
        experiments=_patterns(experiment),
        owners=_patterns(of_owner),
    )
    session.print(view.model_dump(mode="json"), lambda: _print(view))


def _patterns(given: list[str] | None) -> list[str] | None:
    """Return what an option names, without empty texts; None where it was not given."""
    return None if given is None else [pattern for pattern in given if pattern]


@command(app, "pause")
def pause(session: Session, name: Name) -> None:
    """Record and send nothing until it is resumed."""
    view = session.client.webhooks.update(name, paused=True)
    session.print(view.model_dump(mode="json"), lambda: say(f"{view.name} is paused"))


@command(app, "resume")
def resume(session: Session, name: Name) -> None:
    """Go on, with what was pending first. Events of the pause are not sent."""
    view = session.client.webhooks.update(name, paused=False)
    session.print(view.model_dump(mode="json"), lambda: say(f"{view.name} goes on"))


@command(app, "rotate")
def rotate(
    session: Session,
    name: Name,
    grace_hours: Annotated[
        float, typer.Option(help="Hours for which messages are signed with the former secret, too.", min=0)
    ] = 24.0,
) -> None:
    """Make a new secret, and print it once."""
    made = session.client.webhooks.rotate(name, grace_hours=grace_hours)
    session.print(made.model_dump(mode="json"), lambda: _print_new(made, made.secret))


@command(app, "test")
def test(session: Session, name: Name) -> None:
    """Send a test event, and wait for its first attempt."""
    sent = session.client.webhooks.test(name)
    session.print(sent.model_dump(mode="json"), lambda: _print_delivery(sent))
    if sent.status != DeliveryStatus.DELIVERED:
        reason = sent.last_error or "No attempt was made yet: does the supervisor run? See: raylift status"
        raise stop(reason, ExitCode.FAILED)


def _print_delivery(each: DeliveryView) -> None:
    print_facts(
        [
            ("delivery", each.delivery_id),
            ("event", each.event_type),
            ("status", each.status),
            ("attempts", each.attempts),
            ("answer", each.last_status_code),
            ("error", each.last_error),
            ("next attempt", cell(each.due_at) if each.due_at else None),
        ]
    )


def _print_deliveries(page: DeliveryPageView) -> None:
    rows = [
        (
            each.delivery_id,
            each.event_type,
            each.subject,
            cell(each.occurred_at),
            each.status,
            each.attempts,
            each.last_error or each.last_status_code,
        )
        for each in page.deliveries
    ]
    print_table(("delivery", "event", "about", "at", "status", "attempts", "last answer"), rows)
    say_next_page(page.next_cursor)


@command(app, "deliveries", DeliveryPageView, _print_deliveries)
def deliveries(
    session: Session,
    name: Name,
    status: Annotated[DeliveryState | None, typer.Option(help="Only deliveries of this status.")] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
) -> Any:
    """List deliveries, newest first, with their attempts and last answers."""
    asked = {"status": status, "limit": limit, "cursor": cursor}
    return session.client.request("GET", paths.webhook(name, "deliveries"), params=asked)


@command(app, "redeliver")
def redeliver(
    session: Session,
    name: Name,
    delivery: Annotated[
        str | None,
        typer.Argument(metavar="[DELIVERY]", help="Id of a delivery. All dead ones, if omitted.", show_default=False),
    ] = None,
) -> None:
    """Deliver again now, with the same webhook-id: one delivery, or all that were given up."""
    count = session.client.webhooks.redeliver(name, delivery)
    session.print({"redelivered": count}, lambda: say(f"{count} delivered again"))


@command(app, "delete")
def delete(session: Session, name: Name) -> None:
    """Delete a webhook with its deliveries: what is pending is not sent any more."""
    session.client.webhooks.delete(name)
    say(f"{name} is deleted")
