"""``raylift predict``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from raylift.cli.exits import wrong_usage
from raylift.cli.printing import print_json, print_table, say
from raylift.cli.session import KeyOption, OutputOption, UrlOption, session
from raylift.client import Prediction


@dataclass(frozen=True, slots=True)
class Csv:
    """A CSV as it came: the platform reads it, which knows the types of the model's columns."""

    content: bytes


def register(app: typer.Typer) -> None:
    app.command("predict")(predict)


def predict(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The model.", show_default=False)],
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
    version: Annotated[str | None, typer.Option(help="A version; without: the newest that is ready.")] = None,
    alias: Annotated[str | None, typer.Option(help="An MLflow alias, e.g. champion.")] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Probabilities of the classes, too.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 60.0,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Ask a model."""
    data = read_inputs(inputs)
    with session(ctx, url, api_key, output) as here:
        try:
            if isinstance(data, Csv):
                answer = here.client.predict_csv(name, data.content, version=version, alias=alias, proba=proba, timeout=timeout)
            else:
                answer = here.client.predict(name, data, version=version, alias=alias, proba=proba, timeout=timeout)
        except (TypeError, ValueError) as error:  # what the inputs cannot be; what the platform says is neither
            raise wrong_usage("--inputs", str(error)) from error
        if here.as_json:
            print_json(answer.raw)
        else:
            _print(answer)


def read_inputs(text: str) -> Any:
    """The inputs that ``--inputs`` stands for: JSON's values, or a :class:`Csv`."""
    try:
        if text == "-":
            given = sys.stdin.buffer.read()
            return json.loads(given) if given.lstrip()[:1] in {b"{", b"["} else Csv(given)
        if text.startswith("@") or text.lower().endswith(".csv"):
            file = Path(text.removeprefix("@"))
            given = file.read_bytes()
            return Csv(given) if file.suffix.lower() == ".csv" else json.loads(given.decode("utf-8-sig"))
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
