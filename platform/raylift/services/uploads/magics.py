"""Translates magics of notebooks: drops those that a script does not need, collects packages, refuses the others."""

from __future__ import annotations

import io
import re
import shlex
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

_NOTHING: Final = frozenset({"matplotlib", "config", "autoreload", "precision", "pylab", "colors", "xmode"})
"""Line magics about display."""
_EXTENSIONS: Final = frozenset({"autoreload", "tensorboard", "google.colab.data_table"})
"""Extensions of ``%load_ext`` without effect on a script."""
_TIMING: Final = frozenset({"time", "capture"})
"""Cell magics around Python code."""

_CANDIDATE: Final = re.compile(r"\s*(?:[%!?]|[\w.]+\s*\?{1,2}\s*$|[\w.,\s]+=\s*[%!])")
_LINE: Final = re.compile(r"(?P<indent>\s*)%(?P<name>[\w.]+)\s*(?P<rest>.*)")
_SHELL: Final = re.compile(r"(?P<indent>\s*)!+\s*(?P<command>.*)")
_HELP: Final = re.compile(r"(?P<indent>\s*)(?:\?{1,2}\s*[\w.*]+|[\w.*]+\s*\?{1,2})\s*(?:#.*)?")
_PIP: Final = re.compile(r"(?:(?:python\d?|\{?sys\.executable\}?)\s+-m\s+)?(?:uv\s+)?pip[\d.]*\s+install\b(?P<arguments>.*)")
_EXPORTED: Final = re.compile(
    r"(?P<indent>\s*)get_ipython\(\)\.(?P<call>run_line_magic|run_cell_magic|system|getoutput|magic)\((?P<arguments>.*)\)\s*(?:#.*)?"
)

_MOST_WORK: Final = 200_000
"""Limit of lines that are tokenized again for later magics, in one cell or script."""
_QUIET: Final = frozenset(
    {
        "-q",
        "-qq",
        "--quiet",
        "-U",
        "--upgrade",
        "--user",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "-y",
        "--system",
        "-v",
    }
)
"""Options of ``pip install`` that do not change the packages."""


class Refused(ValueError):
    """A magic that a job cannot run. The message has advice."""


@dataclass(slots=True)
class Translated:
    """Python code of a cell. Each line keeps its number."""

    lines: list[str]
    packages: list[str] = field(default_factory=list[str])
    """Requirements of ``%pip install``."""
    problems: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Pairs of a line number from 1 and an error."""


def translate_cell(source: str) -> Translated:
    """Return a cell without its magics."""
    made = Translated(source.split("\n"))
    first = next((at for at, line in enumerate(made.lines) if line.strip()), None)
    if first is not None and made.lines[first].startswith("%%"):
        name = made.lines[first][2:].split(maxsplit=1)[0] if made.lines[first][2:].strip() else ""
        if name not in _TIMING:
            made.problems.append(
                (first + 1, f"'%%{name}' is a magic of the whole cell, which a job cannot run: {_advice(name)}")
            )
            return made
        made.lines[first] = ""
    _each_statement(made, _CANDIDATE, _replace)
    return made


def translate_exported(source: str) -> Translated:
    """Return a script that a notebook was exported to, without its calls of ``get_ipython()``."""
    made = Translated(source.split("\n"))
    _each_statement(made, _EXPORTED, _replace_exported)
    return made


def looks_like_a_magic(line: str) -> bool:
    """Return True where a line that does not compile looks like a magic."""
    return (
        re.match(r"\s*(?:%{1,2}[A-Za-z]|!\s*[\w./{]|\?{1,2}\w|[\w.]+\?{1,2}\s*$|[\w.,\s]+=\s*[%!][A-Za-z])", line) is not None
    )


def _each_statement(made: Translated, pattern: re.Pattern[str], replace: Callable[[Translated, int, str], None]) -> None:
    """Replace the lines that ``pattern`` matches and that begin a statement."""
    work = 0
    for at, line in enumerate(made.lines):
        if not pattern.match(line):
            continue
        work += at
        if work > _MOST_WORK:
            made.problems.append((at + 1, "has too many magics, or lines that look like one"))
            return
        if _begins_a_statement(made.lines[:at]):
            replace(made, at, line)


def _replace_exported(made: Translated, at: int, line: str) -> None:
    found = _EXPORTED.fullmatch(line.rstrip("\r"))
    magic = _as_magic(found["call"], found["arguments"]) if found else None
    if found is None or magic is None:
        return
    try:
        made.lines[at] = found["indent"] + _python_of(magic, made.packages)
    except Refused as error:
        if not found["indent"]:  # An indented call may never run.
            made.problems.append((at + 1, f"get_ipython() runs a notebook's magic: {error}"))


def _replace(made: Translated, at: int, line: str) -> None:
    helped = _HELP.fullmatch(line)
    try:
        if helped is not None:
            made.lines[at] = f"{helped['indent']}pass"
        else:
            indent = line[: len(line) - len(line.lstrip())]
            made.lines[at] = indent + _python_of(line.strip(), made.packages)
    except Refused as error:
        made.problems.append((at + 1, str(error)))
        made.lines[at] = f"{line[: len(line) - len(line.lstrip())]}pass"


def _python_of(magic: str, packages: list[str]) -> str:
    """Return Python for a magic.

    Raises:
        Refused: a job cannot run it.
    """
    if shell := _SHELL.fullmatch(magic):
        return _of_shell(magic, shell["command"].strip(), packages)
    if magic.startswith("%%"):
        raise Refused(f"{magic!r} is a magic of a whole cell: it belongs on the cell's first line")
    found = _LINE.fullmatch(magic)
    if found is None:
        raise Refused(f"{magic!r} takes the output of a command or a magic: write it in Python, e.g. with subprocess.run")
    name, rest = found["name"], found["rest"].strip()
    if name == "pip":
        return _of_shell(magic, f"pip {rest}", packages)
    if name in _NOTHING or (name in {"load_ext", "reload_ext"} and rest in _EXTENSIONS):
        return "pass"
    if name == "time" and rest:
        return rest
    if name in {"env", "set_env"} and (variable := re.fullmatch(r"([A-Za-z_]\w*)(?:\s*=\s*|\s+)(.+)", rest)):
        return f'__import__("os").environ[{variable[1]!r}] = {variable[2]!r}'
    raise Refused(f"{magic!r} is a magic that a job cannot run: {_advice(name)}")


def _of_shell(magic: str, command: str, packages: list[str]) -> str:
    installs = _PIP.fullmatch(command)
    if installs is None:
        raise Refused(f"{magic!r} runs a shell command, which a job's script cannot: use subprocess.run, or remove the line")
    # Redirected output of pip does not matter.
    named = re.split(r"\s+(?:\||\d?>)", installs["arguments"], maxsplit=1)[0]
    try:
        arguments = shlex.split(named, comments=True)
    except ValueError as error:
        raise Refused(f"{magic!r} cannot be read: {error}") from error
    if any(argument in {"&&", "||", ";", "&"} or argument.endswith(";") for argument in arguments):
        raise Refused(f"{magic!r} runs more than pip: name the packages on a line of their own")
    options = [argument for argument in arguments if argument.startswith("-") and argument not in _QUIET]
    if options:
        raise Refused(
            f"{magic!r} has the option {options[0]}, which a job cannot have: name packages alone, or use requirements"
        )
    packages += [argument for argument in arguments if not argument.startswith("-")]
    return "pass"


def _as_magic(call: str, arguments: str) -> str | None:
    """Return the magic behind ``get_ipython().run_line_magic('name', 'rest')``; None where it is not clear."""
    import ast

    try:
        values = ast.literal_eval(f"({arguments},)")
    except (ValueError, SyntaxError):
        return None
    if not all(isinstance(value, str) for value in values):
        return None
    texts: Sequence[str] = values
    if call in {"system", "getoutput"} and len(texts) == 1:
        return f"!{texts[0]}"
    if call == "magic" and len(texts) == 1:
        return f"%{texts[0]}"
    if call == "run_line_magic" and len(texts) == 2:
        return f"%{texts[0]} {texts[1]}"
    if call == "run_cell_magic" and len(texts) == 3:
        return f"%time exec({texts[2]!r})" if texts[0] in _TIMING else f"%{texts[0]}"
    return None


def _advice(name: str) -> str:
    match name:
        case "bash" | "sh" | "script" | "system" | "sx":
            return "use subprocess.run, or remove it"
        case "run":
            return "import the other file, and upload both as a project"
        case "writefile":
            return "upload the file with the notebook, as a project"
        case "timeit" | "prun" | "debug" | "pdb":
            return "remove it"
        case "conda" | "mamba":
            return "use %pip install, or requirements"
        case "cd":
            return "use os.chdir, or remove it"
        case _:
            return "remove it, or write it in Python"


def _begins_a_statement(before: Sequence[str]) -> bool:
    """Return True where the next line begins a statement: not within brackets, a string, or after a backslash."""
    if before and before[-1].rstrip("\r").endswith("\\"):
        return False
    try:
        for _ in _tokens(before):
            pass
    except tokenize.TokenError as error:
        return "multi-line" not in str(error) and "unterminated" not in str(error)
    except (IndentationError, SyntaxError):
        return True
    return True


def _tokens(lines: Sequence[str]) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline)
