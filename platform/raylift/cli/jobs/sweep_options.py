"""Options of ``raylift train`` for sweeps."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.cli.exits import wrong_usage
from raylift.domain.sweep import SweepMode, SweepPassing

SweepOption = Annotated[
    list[str] | None,
    typer.Option("--sweep", help="Values of a parameter; may be repeated: one job for each combination.", metavar="K=V1,V2"),
]
SweepAsOption = Annotated[
    SweepPassing, typer.Option("--sweep-as", help="Pass values as environment variables, or as --K V after the arguments.")
]
MetricOption = Annotated[str | None, typer.Option(help="Metric that chooses the best job of a sweep.")]
ModeOption = Annotated[SweepMode, typer.Option(help="The best value of the metric is the largest, or the smallest.")]
RegisterBestOption = Annotated[bool, typer.Option("--register-best", help="Register only the best job's model.")]
MaxParallelOption = Annotated[int | None, typer.Option(help="Jobs of the sweep at a time.", min=1)]


def sweep_values(
    texts: list[str],
    passed_as: SweepPassing,
    *,
    metric: str | None,
    mode: SweepMode,
    register_best: bool,
    max_parallel: int | None,
) -> dict[str, Any]:
    """Arguments of ``Client.train`` for a sweep; empty without ``--sweep``. Values stay text."""
    if not texts:
        if metric is not None or register_best or max_parallel is not None:
            raise wrong_usage("--sweep", "is missing: --metric, --register-best and --max-parallel are of a sweep")
        return {}
    parameters: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name or not all(values.split(",")):
            raise wrong_usage("--sweep", f"{text!r} is not of the form NAME=VALUE,VALUE")
        if name in parameters:
            raise wrong_usage("--sweep", f"{name} is given twice; write all its values in one: {name}=VALUE,VALUE")
        parameters[name] = values.split(",")
    return {
        "sweep": parameters,
        "sweep_as": passed_as.value,
        "metric": metric,
        "mode": mode.value,
        "register_best": register_best,
        "max_parallel": max_parallel,
    }
