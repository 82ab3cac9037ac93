"""Requests that schemathesis makes from the OpenAPI document, with a key of each role."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_keys import Keyed, keyed

__all__ = ["keyed"]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.mark.nightly
@pytest.mark.parametrize("who", ["viewer", "submitter", "deployer", "app", "other", "admin"])
def test_every_answer_is_as_documented(keyed: Keyed, tmp_path: Path, who: str) -> None:
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{keyed.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {keyed.keys[who]}", "--checks", ",".join(CHECKS)),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "12", "--generation-deterministic", "--no-color"),
        *("--continue-on-failure", "--suppress-health-check", "all", "--request-timeout", "60"),
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "passed" in run.stdout, "nothing was tested"
