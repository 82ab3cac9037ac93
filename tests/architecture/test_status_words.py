"""Statuses are string literals in the domain only. Elsewhere, code compares and assigns members of the enums."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylift.domain.job import JobState, JobStatus, Reason
from raylift.domain.models.deployment import DeploymentStatus
from raylift.domain.sweep import SweepState

ROOT = Path(__file__).resolve().parents[2]
WORDS = {member.value for kind in (JobStatus, JobState, Reason, DeploymentStatus, SweepState) for member in kind}
SEARCHED = ("platform/raylift", "serve_apps")
EXEMPT = ("platform/raylift/domain", "platform/raylift/store/migrations")
SUBJECTS = {"status", "state", "reason", "phase"}


def searched_files() -> list[Path]:
    files = (path for folder in SEARCHED for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in files if not str(path.relative_to(ROOT)).startswith(EXEMPT))


@pytest.mark.parametrize("path", searched_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_statuses_are_enum_members(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [f"{path.name}:{node.lineno} {node.value!r}" for node in status_literals(tree)]
    assert not found, f"use the enums of raylift.domain: {found}"


def status_literals(tree: ast.AST) -> Iterator[ast.Constant]:
    """Status words that are compared with, assigned to or passed as a name such as status, state, reason or phase."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others) if any(is_subject(side) for side in (left, *others)):
                yield from (word for side in (left, *others) for word in words(side))
            case ast.Assign(targets=targets, value=value) if any(is_subject(target) for target in targets):
                yield from words(value)
            case ast.AnnAssign(target=target, value=ast.expr() as value) if is_subject(target):
                yield from words(value)
            case ast.keyword(arg=str(name), value=value) if name in SUBJECTS:
                yield from words(value)
            case _:
                pass


def is_subject(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in SUBJECTS
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name in SUBJECTS
        case _:
            return False


def words(node: ast.expr) -> Iterator[ast.Constant]:
    candidates = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    for candidate in candidates:
        if isinstance(candidate, ast.Constant) and candidate.value in WORDS:
            yield candidate


def test_search_finds_status_words() -> None:
    tree = ast.parse(
        'if job.status == "failed": pass\nstate = "queued"\nf(reason="timeout")\nx in {"ready"}\nstatus in ("ready", "a")'
    )
    assert sorted(str(word.value) for word in status_literals(tree)) == ["failed", "queued", "ready", "timeout"]
