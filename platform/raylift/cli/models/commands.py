"""``raylift models``."""

from __future__ import annotations

from typing import Annotated

import typer

from raylift.api import paths
from raylift.api.models import ModelList, ModelView, VersionView
from raylift.cli.models import aliases, metrics
from raylift.cli.printing import age, pairs, print_facts, print_json, print_table
from raylift.cli.session import KeyOption, OutputOption, UrlOption, session

app = typer.Typer(help="Registered models and their versions.", no_args_is_help=True)
app.add_typer(aliases.app, name="alias")
app.command("stats")(metrics.stats)
app.command("feedback")(metrics.feedback)


@app.command("list")
def list_models(ctx: typer.Context, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None) -> None:
    """List the registered models."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.MODELS)
        if here.as_json:
            print_json(answer)
            return
        rows = [
            (m.model_name, m.latest_version, ", ".join(m.ready_versions) or "-", pairs(m.aliases) or "-", age(m.created_at))
            for m in ModelList.model_validate(answer).models
        ]
        print_table(("model", "latest", "ready", "aliases", "age"), rows)


@app.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The model.", show_default=False)],
    version: Annotated[str | None, typer.Argument(help="One version of it.", show_default=False)] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """List a model's versions, or show where one version comes from."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.model(name) if version is None else paths.version(name, version))
        if here.as_json:
            print_json(answer)
        elif version is None:
            rows = [_row(seen) for seen in ModelView.model_validate(answer).versions]
            print_table(("version", "deployment", "aliases", "metrics", "age"), rows)
        else:
            print_facts(_facts(VersionView.model_validate(answer)))


def _row(version: VersionView) -> tuple[str, str, str, str, str]:
    return (
        version.model_version,
        version.deployment.status if version.deployment else "-",
        ", ".join(version.aliases) or "-",
        pairs({name: version.metrics[name] for name in sorted(version.metrics, key=_briefly)[:3]}) or "-",
        age(version.created_at),
    )


def _briefly(metric: str) -> tuple[int, str]:
    """Short names first: they are the ones that people gave, and they fit."""
    return len(metric), metric


def _facts(version: VersionView) -> list[tuple[str, object]]:
    lineage = version.lineage
    deployment = version.deployment
    return [
        ("model", version.model_name),
        ("version", version.model_version),
        ("aliases", ", ".join(version.aliases)),
        ("created", version.created_at),
        ("deployment", deployment.status if deployment else "none"),
        ("route", deployment.route if deployment else None),
        ("message", deployment.message if deployment else None),
        ("metrics", pairs(version.metrics)),
        ("tags", pairs(version.tags)),
        ("job", lineage.job_id),
        ("run", lineage.mlflow_run_id),
        ("script", lineage.script_sha256),
        ("requirements", ", ".join(lineage.requirements or [])),
        ("locked", ", ".join(lineage.environment_lock or [])),
        ("source", lineage.source),
    ]
