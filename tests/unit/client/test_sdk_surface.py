from __future__ import annotations

import subprocess
import sys

import pytest

import raylift
import raylift.client

SNAPSHOT = [
    "APIError",
    "AsyncClient",
    "Client",
    "Clock",
    "Conflict",
    "ConnectionFailed",
    "Forbidden",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobWaitTimeout",
    "NotFound",
    "Prediction",
    "RayliftError",
    "RolloutWaitTimeout",
    "ServerError",
    "Sweep",
    "SweepFailed",
    "SweepWaitTimeout",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
]
HEAVY = "ray mlflow sqlalchemy fastapi starlette numpy pandas rich typer packaging"


def test_public_names_are_unchanged():
    assert sorted(raylift.client.__all__) == SNAPSHOT
    assert sorted(raylift.__all__) == sorted([*SNAPSHOT, "__version__"])
    assert all(getattr(raylift, name) is getattr(raylift.client, name) for name in SNAPSHOT)
    assert set(SNAPSHOT) <= set(dir(raylift))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = raylift.nonsense  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("statement", "unloaded"),
    [
        ("import raylift", HEAVY + " httpx pydantic raylift.client"),
        # The budget is 400 ms on a slow machine. httpx and Pydantic take nearly all of it.
        ("from raylift import Client; Client('http://x').close()", HEAVY),
        ("import raylift.client.jobs.job, raylift.client.inputs; raylift.client.inputs.to_inputs({'a': [1.0]})", HEAVY),
        ("import raylift.cli.app", "ray mlflow sqlalchemy fastapi numpy pandas"),
    ],
)
def test_import_of_the_sdk_is_light(statement: str, unloaded: str):
    # httpx loads rich for its own command line if click is installed. That cannot be avoided here.
    assert not loaded_after(statement, unloaded) - (loaded_after("import httpx", "rich") if "httpx" not in unloaded else set())


def loaded_after(statement: str, modules: str) -> set[str]:
    code = f"import sys; {statement}; print(*set({modules.split()!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_docstring_of_errors_names_every_exception():
    import raylift.client.http.errors as errors

    public = [getattr(raylift, name) for name in SNAPSHOT]
    kinds = [kind for kind in public if isinstance(kind, type) and issubclass(kind, raylift.RayliftError)]
    assert len(kinds) == 17
    assert all(kind.__name__ in (errors.__doc__ or "") and kind.__doc__ for kind in kinds)
