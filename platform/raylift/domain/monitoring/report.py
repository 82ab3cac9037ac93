"""A report of drift: a job that compares logged requests of a version with a reference, by Evidently.

It is an ordinary job: a project with the requests, in an environment of its own. Evidently 0.7 does not run with pandas 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

ORDER_FILE: Final = "order.json"
CURRENT_FILE: Final = "current.jsonl.gz"
REFERENCE_FILE: Final = "reference.jsonl.gz"
DATA_ALIAS: Final = "reference"
"""Alias of the dataset that is the reference."""
PREDICTION: Final = "prediction"
"""Column of the answers, and the next one of true values."""
TRUE_VALUE: Final = "true_value"
REQUIREMENTS: Final = ("evidently==0.7.23", "pandas<3")
TAG_REPORT: Final = "raylift.report"
"""Tag of the job and of its run: the version that the report is about."""
TAG_SPAN: Final = "raylift.report_span"
"""Tag: the times of the requests, as ``since/until``."""
TAG_REFERENCE: Final = "raylift.report_reference"
"""Tag: the dataset, or the times of the requests that are the reference."""
ARTIFACT: Final = "report/report.html"
"""Path of the report among the artifacts of the run."""
SCRIPT_NAME: Final = "report.py"
SCRIPT: Final = '''"""Compares requests of a model version with a reference, by Evidently (docs/guides/drift.md)."""

import os
from pathlib import Path

import mlflow

from serve_apps.drift_report.program import make

with mlflow.start_run(run_name="drift report"):
    data = os.environ.get("RAYLIFT_DATA_REFERENCE")
    made = make(Path(__file__).parent, Path(data) if data else None, Path("report"))
    mlflow.log_metrics({"rows": made.rows, "reference_rows": made.reference_rows})
    mlflow.log_metrics({"columns": made.columns, "drifted_columns": made.drifted})
    mlflow.log_artifacts("report", "report")
    print(f"{made.rows} rows against {made.reference_rows}: {made.drifted} of {made.columns} columns have drift")
    if made.left_out:
        print("left out:", ", ".join(made.left_out))
'''


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """Fields of a request for a report. None: the default."""

    since: datetime | None = None
    until: datetime | None = None
    reference: str | None = None
    """Dataset, ``name`` or ``name@3``."""
