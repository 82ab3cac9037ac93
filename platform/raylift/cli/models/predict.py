"""``raylift predict``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from raylift.cli.exits import wrong_usage
from raylift.cli.names import ModelArgument
from raylift.cli.printing import print_table, say
from raylift.cli.session import Session, command
from raylift.client import Prediction


@dataclass(frozen=True, slots=True)
class Csv:
    """CSV for the platform to read, which knows the types of the model's columns."""

    content: bytes


def register(app: typer.Typer) -> None:
    command(app, "predict")(predict)


def predict(
    session: Session,
    name: ModelArgument,
    inputs: Annotated[
        str,
        typer.Option(
            "--inputs",
            "-i",
            metavar="JSON|@FILE|FILE.csv|-",
            help="JSON (columns, records or rows), @file.json, a .csv file with a header, or - for JSON or CSV on stdin.",
            show_default=False,
        ),
    ],
    version: Annotated[str | None, typer.Option(help="A version; default: the newest that is ready.")] = None,
    alias: Annotated[str | None, typer.Option(help="An MLflow alias, e.g. champion.")] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Probabilities of the classes, too.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 60.0,
) -> None:
    """Get predictions of a model."""
    data, client = read_inputs(inputs), session.client
    try:
        if isinstance(data, Csv):
            answer = client.predict_csv(name, data.content, version=version, alias=alias, proba=proba, timeout=timeout)
        else:
            answer = client.predict(name, data, version=version, alias=alias, proba=proba, timeout=timeout)
    except (TypeError, ValueError) as error:  # Only of the inputs: errors of the platform are RayliftErrors.
        raise wrong_usage("--inputs", str(error)) from error
    session.print(answer.raw, lambda: _print(answer))


def read_inputs(text: str) -> Any:
    """Parse the value of ``--inputs``: JSON values, or a :class:`Csv`."""
    try:
        if text == "-":
            content = sys.stdin.buffer.read()
            return json.loads(content) if content.lstrip()[:1] in {b"{", b"["} else Csv(content)
        if text.startswith("@") or text.lower().endswith(".csv"):
            file = Path(text.removeprefix("@"))
            content = file.read_bytes()
            return Csv(content) if file.suffix.lower() == ".csv" else json.loads(content.decode("utf-8-sig"))
        return json.loads(text)
    except OSError as error:
        raise wrong_usage("--inputs", f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        hint = "" if text[:1] in "@-" or text.lower().endswith(".csv") else "; for a file, write @file.json"
        raise wrong_usage("--inputs", f"not JSON: {error}{hint}") from error


def _print(answer: Prediction) -> None:
    say(f"{answer.model_name} version {answer.model_version}, {answer.inference_time_ms:.1f} ms")
    classes = answer.classes or list(range(len((answer.probabilities or [[]])[0])))
    columns = ("prediction", *(f"p({name})" for name in classes)) if answer.probabilities else ("prediction",)
    probabilities = answer.probabilities or [[] for _ in answer.predictions]
    rows = [(value, *row) for value, row in zip(answer.predictions, probabilities, strict=True)]
    print_table(columns, rows)
