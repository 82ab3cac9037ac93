"""``raylift models``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.models import ModelList, ModelView, VersionView
from raylift.cli.models import aliases, metrics, over_time, signature
from raylift.cli.names import ModelArgument
from raylift.cli.printing import age, pairs, print_facts, print_table
from raylift.cli.session import Session, command

app = typer.Typer(help="Registered models and their versions.", no_args_is_help=True)
app.add_typer(aliases.app, name="alias")
metrics.register(app)
over_time.register(app)
signature.register(app)


def _print_list(found: ModelList) -> None:
    rows = [
        (m.model_name, m.latest_version, ", ".join(m.ready_versions) or "-", pairs(m.aliases) or "-", age(m.created_at))
        for m in found.models
    ]
    print_table(("model", "latest", "ready", "aliases", "age"), rows)


@command(app, "list", ModelList, _print_list)
def list_models(session: Session) -> Any:
    """List the registered models."""
    return session.client.request("GET", paths.MODELS)


@command(app, "show")
def show(
    session: Session,
    name: ModelArgument,
    version: Annotated[str | None, typer.Argument(help="One version of it.", show_default=False)] = None,
) -> None:
    """List a model's versions, or show one version and its origin."""
    if version is None:
        answer = session.client.request("GET", paths.model(name))
        session.print(answer, lambda: _print_versions(ModelView.model_validate(answer)))
    else:
        answer = session.client.request("GET", paths.version(name, version))
        session.print(answer, lambda: print_facts(_facts(VersionView.model_validate(answer))))


def _print_versions(model: ModelView) -> None:
    print_table(("version", "deployment", "aliases", "metrics", "age"), map(_row, model.versions))


def _row(version: VersionView) -> tuple[str, str, str, str, str]:
    return (
        version.model_version,
        version.deployment.status if version.deployment else "-",
        ", ".join(version.aliases) or "-",
        pairs({name: version.metrics[name] for name in sorted(version.metrics, key=_by_length)[:3]}) or "-",
        age(version.created_at),
    )


def _by_length(metric: str) -> tuple[int, str]:
    """Sort key that puts short names first: people chose those, and they fit."""
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
        ("data", ", ".join(f"{alias}={reference}" for alias, reference in lineage.data.items())),
        ("requirements", ", ".join(lineage.requirements or [])),
        ("locked", ", ".join(lineage.environment_lock or [])),
        ("source", lineage.source),
    ]
