"""Options of ``raylift train`` for the gate of its version."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from raylift.cli.exits import wrong_usage
from raylift.cli.models.rollouts import parse_guards, parse_steps

PromoteAliasOption = Annotated[
    str | None, typer.Option("--promote-alias", metavar="ALIAS", help="Alias that a version gets which passes the gate.")
]
PromoteWhenOption = Annotated[
    str | None,
    typer.Option("--promote-when", metavar="CONDITION", help="e.g. 'auc >= champion.auc + 0.002'; always, if omitted."),
]
PromoteFirstOption = Annotated[
    Literal["promote", "keep"],
    typer.Option("--promote-first", help="Of a version that is to be compared while the alias names none."),
]
PromoteStepsOption = Annotated[
    str | None,
    typer.Option("--promote-steps", metavar="STEP,STEP…", help="Begin a rollout instead, as in raylift rollout start --steps."),
]
PromoteGuardOption = Annotated[
    list[str] | None,
    typer.Option("--promote-guard", metavar="NAME=LIMIT", help="Guard of that rollout, as in raylift rollout start --guard."),
]


def gate_of(
    alias: str | None, when: str | None, first: str, steps: str | None, guards: list[str] | None
) -> dict[str, Any] | None:
    """Return the gate of an upload. Exits where an option lacks the one that it needs."""
    given = {"--promote-when": when, "--promote-steps": steps, "--promote-guard": guards or None}
    if alias is None:
        lone = next((name for name, value in given.items() if value is not None), None)
        if lone is not None:
            raise wrong_usage(lone, "needs --promote-alias")
        return None
    if guards and steps is None:
        raise wrong_usage("--promote-guard", "needs --promote-steps: without a rollout nothing is guarded")
    rollout = None if steps is None else {"steps": parse_steps(steps)} | ({"guards": parse_guards(guards)} if guards else {})
    return {"alias": alias, "when": when, "first": first, "rollout": rollout}
