"""Options of ``raylift train`` for the gate of its version."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from raylift.cli.exits import wrong_usage
from raylift.cli.models.rollouts import parse_steps

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


def gate_of(alias: str | None, when: str | None, first: str, steps: str | None) -> dict[str, Any] | None:
    """Return the gate of an upload. Exits where an option has no alias."""
    if alias is None:
        if when is not None or steps is not None:
            raise wrong_usage("--promote-when" if when is not None else "--promote-steps", "needs --promote-alias")
        return None
    rollout = None if steps is None else {"steps": parse_steps(steps)}
    return {"alias": alias, "when": when, "first": first, "rollout": rollout}
