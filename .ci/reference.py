"""Write the reference pages that come from the code: settings, errors, commands. ``make docs`` runs it.

Each page has one generated part between two marks; the text around it is written by hand. With ``--check`` nothing is
written, and the exit code is 1 where a page is not current.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main
import yaml
from pydantic import BaseModel

from raylift.cli.app import app
from raylift.domain.errors import PlatformError
from raylift.launcher.run.config import LocalConfig
from serve_apps.gateway.http.errors import HTTP_STATUS
from serve_apps.model_server import errors as replica_errors

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
LOCAL_YAML = ROOT / "cluster_configs" / "local.yaml"
SETTINGS = ("raylift.settings", "raylift.access_settings")
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check: bool = parser.parse_args(arguments).check
    stale: list[str] = []
    for name, generate in PAGES.items():
        path = REFERENCE / name
        old = path.read_text(encoding="utf-8")
        new = with_part(old, generate())
        if new == old:
            continue
        if check:
            stale.append(name)
        else:
            path.write_text(new, encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    if stale:
        print(f"not current: {', '.join(stale)}; run make docs", file=sys.stderr)
    return int(bool(stale))


def with_part(page: str, part: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"The page has no {BEGIN} … {END}.")
    return f"{before}{BEGIN}\n\n{part.strip()}\n\n{END}{after}"


# -------------------------------------------------------------------------------------------------------- settings
def settings_page() -> str:
    defaults: dict[str, Any] = yaml.safe_load(LOCAL_YAML.read_text(encoding="utf-8"))
    comments = yaml_comments(LOCAL_YAML.read_text(encoding="utf-8"))
    tables: dict[str, list[str]] = {}
    for path, description in leaves(LocalConfig, ()):
        default: Any = defaults
        for key in path:
            default = default[key]
        section = path[0] if len(path) > 1 else "General"
        text = description or comments[path]
        tables.setdefault(section, []).append(f"| `{'.'.join(path)}` | {shown(default)} | {in_cell(text)} |")
    head = "| setting | default | meaning |\n|---|---|---|\n"
    return "\n\n".join(f"## {section}\n\n{head}" + "\n".join(rows) for section, rows in tables.items())


def leaves(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    described = attribute_docstrings(model)
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, (*above, name))
        else:
            yield (*above, name), described.get(name, "") if model.__module__ in SETTINGS else ""


def attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field of the class."""
    source = inspect.getsource(sys.modules[model.__module__])
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef) or node.name != model.__name__:
            continue
        for field, below in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                found[field.target.id] = str(ast.literal_eval(below.value))
    return found


def yaml_comments(text: str) -> dict[tuple[str, ...], str]:
    """The comment of each key: the one behind its value, else the lines above it, else its section's first."""
    found: dict[tuple[str, ...], str] = {}
    path: list[str] = []
    above: list[str] = []
    for line in text.splitlines():
        comment = re.fullmatch(r"\s*# ?(.*)", line)
        key = re.fullmatch(r"( *)(\w+):(?: +(\S.*?))??(?:\s+# (.*))?", line)
        if comment:
            above.append(comment[1])
        elif key:
            path = [*path[: len(key[1]) // 2], key[2]]
            found[tuple(path)] = key[4] or " ".join(above) or found.get(tuple(path[:-1]), "")
            above = []
        else:
            above = []
    return found


def shown(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    if value == {}:
        return "`{}`"
    return f"`{yaml.safe_dump(value, default_flow_style=True).removesuffix(chr(10)).removesuffix('...').strip()}`"


# ---------------------------------------------------------------------------------------------------------- errors
def errors_page() -> str:
    texts: dict[str, dict[str, list[str]]] = yaml.safe_load((REFERENCE / "errors.yaml").read_text(encoding="utf-8"))
    statuses = all_statuses()
    described = {code for codes in texts.values() for code in codes}
    if described != statuses.keys():
        raise SystemExit(f"docs/reference/errors.yaml and the code differ: {sorted(described ^ statuses.keys())}")
    parts: list[str] = []
    for title, codes in texts.items():
        rows = [f"| `{code}` | {statuses[code]} | {cause} | {remedy} |" for code, (cause, remedy) in codes.items()]
        parts.append(f"## {title}\n\n| Code | Status | Cause | What to do |\n|---|---|---|---|\n" + "\n".join(rows))
    return "\n\n".join(parts)


def all_statuses() -> dict[str, int]:
    """HTTP statuses by code, of the gateway and of the replicas."""
    replicas = {
        kind.code: replica_errors.status_of(kind(""))
        for kind in descendants(PlatformError)
        if kind.__module__ == replica_errors.__name__
    }
    return {**replicas, **HTTP_STATUS}


def descendants(kind: type[PlatformError]) -> set[type[PlatformError]]:
    return {kind}.union(*(descendants(child) for child in kind.__subclasses__()))


# -------------------------------------------------------------------------------------------------------- commands
def commands_page() -> str:
    root: Any = typer.main.get_command(app)
    parts = [described for name, command in root.commands.items() for described in command_parts(command, f"raylift {name}")]
    return "\n\n".join(parts)


def command_parts(command: Any, name: str) -> Iterator[str]:
    if command.hidden:
        return
    if hasattr(command, "commands"):
        yield f"### `{name}`\n\n{paragraphs(command.help)}"
        for child, below in command.commands.items():
            yield from command_parts(below, f"{name} {child}")
        return
    arguments = [one for one in command.params if one.param_type_name == "argument" and not one.hidden]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden and not is_common(one)]
    usage = " ".join([name, *(argument_name(one) for one in arguments)])
    rows = [f"| `{argument_name(one)}` | {in_cell(one.help or '')} |" for one in arguments if one.help]
    rows += [f"| {option_name(one)} | {in_cell(one.help or '')}{option_default(one)} |" for one in options]
    table = "\n\n| | |\n|---|---|\n" + "\n".join(rows) if rows else ""
    yield f"### `{usage}`\n\n{paragraphs(command.help)}{table}"


def is_common(option: Any) -> bool:
    """Options that every command has; the page names them once."""
    return bool({"--url", "--api-key", "--output", "--help"} & set(option.opts))


def argument_name(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name = f"{name}…" if argument.nargs == -1 and not name.endswith(("…", "...")) else name
    return name if argument.required or name.startswith("[") else f"[{name}]"


def option_name(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return f"{names} `{in_cell(option.metavar)}`" if option.metavar and not option.is_flag else names


def option_default(option: Any) -> str:
    environment = f" Environment: `{option.envvar}`." if option.envvar else ""
    value = option.default
    if value is None or value is False or value == [] or callable(value) or option.is_flag:
        return environment
    return f" Default: `{getattr(value, 'value', value)}`.{environment}"


def paragraphs(text: str | None) -> str:
    """A command's help, each paragraph on one line."""
    return "\n\n".join(" ".join(one.split()) for one in (text or "").replace("\b", "").split("\n\n"))


def in_cell(text: str) -> str:
    """Text for a cell of a table; paths of pages become links."""
    plain = " ".join(text.split()).replace("``", "`").replace("|", "\\|")
    return re.sub(r"docs/(\w+/(\w+)\.md)", r"[\2](../\1)", plain)


PAGES: Mapping[str, Callable[[], str]] = {"settings.md": settings_page, "errors.md": errors_page, "cli.md": commands_page}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
