"""``examples/notebook.ipynb``, run as it is by a Jupyter kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from raylift.launcher.local_platform import LocalPlatform

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


# In CI, the SDK's tests draw the same objects, and the documented snippets run.
@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")  # Of Jupyter's own packages.
def test_notebook_runs_and_draws_what_it_made(platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYLIFT_URL", platform.url)
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    drawn = "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
    assert re.search(r"/console/jobs/job_\w+", drawn)
    assert "● </span>" in drawn or "●</span> completed" in drawn
    assert "p(0)" in drawn and "notebook_iris" in drawn
    widgets = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert any("completed" in str(state["state"].get("value")) for state in widgets.values())
    assert not [output for output in outputs if output.output_type == "error"]
