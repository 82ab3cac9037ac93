"""The wrapper imports no module of the platform. Names that both need are written twice and compared here."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import job_entrypoints
from job_entrypoints.attempt import progress, record
from job_entrypoints.linux import process_control
from job_entrypoints.script import environment, environment_check
from job_entrypoints.tracking import job_run, model_tags
from raylift.domain import identifiers
from raylift.domain.job import Reason
from raylift.domain.model_version import ModelKind
from raylift.engines.attempts import orphan_processes
from raylift.engines.attempts.progress import Outcome
from raylift.engines.environments.overlays import overlay
from raylift.engines.mlflow import tracking

PACKAGE = Path(str(job_entrypoints.__file__)).parent
MODULES = sorted([*PACKAGE.glob("*.py"), *(PACKAGE / "script").glob("*.py")])


def test_names_equal_those_of_the_domain() -> None:
    assert record.TAG_JOB_ID == identifiers.TAG_JOB_ID
    assert identifiers.adopted_job_id("x") == record.ADOPTED_JOB_PREFIX + "x"
    limits = (progress.OUT_OF_MEMORY, progress.PROCESS_LIMIT, progress.DISK_LIMIT)
    assert limits == (Reason.OUT_OF_MEMORY.value, Reason.PROCESS_LIMIT.value, Reason.DISK_LIMIT.value)
    assert {outcome.value for outcome in Outcome} == set(progress.OUTCOMES)
    assert Reason.ENVIRONMENT_ERROR.value == progress.ENVIRONMENT_ERROR
    assert environment_check.READY == overlay.READY
    assert process_control.attempt_mark("job_1-a1", "i") == orphan_processes.attempt_mark("job_1-a1", "i")
    assert {kind.value for kind in ModelKind} == {model_tags.PREDICTOR, model_tags.OTHER, model_tags.PART, model_tags.BASELINE}
    told = (model_tags.TAG_CLASS, model_tags.TAG_KIND, model_tags.TAG_AUTOLOGGED, model_tags.OF)
    assert (job_run.TAG_JOB_RUN, job_run.ALL) == (tracking._TAG_JOB_RUN, tracking._ALL)
    assert told == (tracking._TAG_CLASS, tracking._TAG_KIND, tracking._TAG_AUTOLOGGED, tracking._OF)
    assert environment.TAG_JOB_ID == identifiers.TAG_JOB_ID


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_wrapper_imports_no_platform_module(path: Path) -> None:
    # Not even mlflow_hooks imports MLflow: it gets the modules that the script imported.
    assert _imported(path) <= sys.stdlib_module_names | {"job_entrypoints"}


SLOW = {
    "dataclasses",
    "typing",
    "subprocess",
    "argparse",
    "pathlib",
    "inspect",
    "tempfile",
    "traceback",
    "asyncio",
    "logging",
    "threading",
}


def test_wrapper_imports_few_modules() -> None:
    import subprocess

    code = "import sys; import job_entrypoints.train; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {code}"]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & SLOW
