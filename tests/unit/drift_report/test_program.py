"""The tables that a report of drift compares: logged requests, files of a dataset, and the columns that fit."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serve_apps.drift_report.program import ReportImpossible, comparable, dataset_frame, drifted_columns, requests_frame


def logged(path: Path, *requests: dict[str, Any]) -> Path:
    lines = [
        {"inputs": json.dumps(each["inputs"]), "outputs": each.get("outputs"), "true_value": each.get("true_value")}
        for each in requests
    ]
    path.write_bytes(gzip.compress("".join(f"{json.dumps(line)}\n" for line in lines).encode()))
    return path


def test_rows_of_requests_have_their_answers_and_true_values(tmp_path: Path) -> None:
    file = logged(
        tmp_path / "current.jsonl.gz",
        {"inputs": {"inputs": [[1, "a"], [2, "b"]]}, "outputs": json.dumps({"predictions": [0, 1]}), "true_value": [0, None]},
        {"inputs": {"inputs": {"age": [3], "plan": ["c"]}}, "outputs": json.dumps({"predictions": [1]})},
        {"inputs": "no table"},
        {"inputs": {"inputs": [[1, 2, 3]]}},
    )
    found = requests_frame(file, ["age", "plan"])
    assert found["age"].tolist() == [1, 2, 3]
    assert found["plan"].tolist() == ["a", "b", "c"]
    assert found["prediction"].tolist() == [0, 1, 1]
    assert found["true_value"].isna().tolist() == [False, True, True]


def test_files_of_a_dataset_are_one_table(tmp_path: Path) -> None:
    pd.DataFrame({"age": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"age": [3]}).to_csv(tmp_path / "b.csv", index=False)
    (tmp_path / "c.jsonl").write_text('{"age": 4}\n')
    (tmp_path / "notes.txt").write_text("no rows")
    assert dataset_frame(tmp_path)["age"].tolist() == [1, 2, 3, 4]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReportImpossible, match=r"\.parquet"):
        dataset_frame(tmp_path / "empty")


def test_columns_that_fit_are_compared_and_the_others_named() -> None:
    texts = [f"text {place}" for place in range(1500)]
    current = pd.DataFrame({"age": [1] * 1500, "plan": ["a"] * 1500, "none": [None] * 1500, "text": texts, "id": 1})
    reference = pd.DataFrame({"age": [2.5, 3.5], "plan": [1, 2], "none": [1, 2], "text": ["x", "y"], "target": [0, 1]})
    now, before, left_out = comparable(current, reference)
    assert (list(now.columns), list(before.columns)) == (["age", "plan"], ["age", "plan"])
    assert before["plan"].tolist() == ["1", "2"]
    assert list(left_out) == ["none", "text", "id", "target"]


@pytest.mark.parametrize(
    ("current", "reference", "says"),
    [
        (pd.DataFrame(), pd.DataFrame({"a": [1]}), "requests of this time"),
        (pd.DataFrame({"a": [1]}), pd.DataFrame(), "the reference"),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), "none of them"),
    ],
)
def test_tables_with_nothing_in_common_are_refused(current: pd.DataFrame, reference: pd.DataFrame, says: str) -> None:
    with pytest.raises(ReportImpossible, match=says):
        comparable(current, reference)


def test_number_of_drifted_columns_is_read_from_evidentlys_report() -> None:
    report = {"metrics": [{"metric_name": "RowCount()", "value": 3}, {"metric_name": "DriftedColumnsCount(drift_share=0.5)",
              "value": {"count": 2.0, "share": 0.5}}]}  # fmt: skip
    assert drifted_columns(report) == 2
    with pytest.raises(ValueError, match="count of columns"):
        drifted_columns({"metrics": []})
