"""The documentation: its links, the paths that it and the code name, and the pages that come from the code."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer.main

from raylift.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"])
FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
CODE_FOLDERS = ("platform/", "serve_apps/", "job_entrypoints/", "tests/", "cluster_configs/", "examples/", ".ci/", "docs/")


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in links(page) if not leads_somewhere(page, link)]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_named_paths_exist(page: Path) -> None:
    named = re.findall(r"`([\w./-]+)`", FENCED.sub("", page.read_text(encoding="utf-8")))
    missing = [path for path in named if path.startswith(CODE_FOLDERS) and not (ROOT / path).exists()]
    assert not missing


def test_code_names_existing_pages() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    code = [name for name in tracked if name.endswith((".py", ".yaml", ".mako")) and not name.startswith("tests/unit/")]
    missing = [
        f"{name}: {path}"
        for name in code
        if (ROOT / name).is_file()
        for path in re.findall(r"\bdocs/[\w/-]+(?:\.md)?", (ROOT / name).read_text(encoding="utf-8"))
        if not (ROOT / path).exists() and not list((ROOT / path).parent.glob(f"{Path(path).name}*"))
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_no_marks_of_a_merge(page: Path) -> None:
    assert not re.search(r"^(<{7}|={7}|>{7})( |$)", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_generated_pages_are_current() -> None:
    command = [sys.executable, ROOT / ".ci" / "reference.py", "--check"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_python_compiles(page: Path) -> None:
    for number, block in enumerate(blocks(page, "python")):
        compile(block, f"{page.name}, block {number}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_commands_and_options_exist(page: Path) -> None:
    lines = [line for block in blocks(page, "bash|console") for line in block.replace("\\\n", " ").splitlines()]
    written = [shlex.split(call) for line in lines for call in re.findall(r"(?:^|^\$ |&& |\$\()(raylift [^|;&)#]*)", line)]
    wrong = [call for call in written if not is_known(call[1:])]
    assert not wrong


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```(?:{language})\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def is_known(call: list[str]) -> bool:
    """Return True if the words after ``raylift`` are a command with options that it has."""
    if "--" in call:  # `raylift schedule create … -- train …` has two.
        first, second = call[: call.index("--")], call[call.index("--") + 1 :]
        return is_known(first) and is_known(second)
    command: Any = typer.main.get_command(app)
    words = iter(call)
    while hasattr(command, "commands"):
        command = command.commands.get(next(words, ""))
    if command is None:
        return False
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    return {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= options


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text(encoding="utf-8")))
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(("http://", "https://"))]


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / unquote(path)).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or anchor in anchors(target)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    return {re.sub(r"[\s]", "-", re.sub(r"[^\w\s-]", "", title).strip()) for title in plain}
