"""Names of workspaces in MLflow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mlflow.store.workspace.abstract_store import WorkspaceNameValidator

from raylift.domain.access import WORKSPACE
from raylift.domain.models.workspaces import mlflow_workspace, url_in_workspace


def test_name_stays_where_mlflow_takes_it() -> None:
    for name in ("default", "red", "team-7", "a0"):
        assert mlflow_workspace(name) == name


def test_other_names_stay_readable() -> None:
    assert mlflow_workspace("Data_Team").startswith("data-team-")
    assert mlflow_workspace("ann@example.org").startswith("ann-example-org-")
    assert mlflow_workspace("api").startswith("api-")


@given(st.from_regex(WORKSPACE, fullmatch=True))
def test_mlflow_takes_every_name_and_it_stays_the_same(workspace: str) -> None:
    name = mlflow_workspace(workspace)
    WorkspaceNameValidator.validate(name)
    assert mlflow_workspace(name) == name


@given(st.from_regex(WORKSPACE, fullmatch=True), st.from_regex(WORKSPACE, fullmatch=True))
def test_different_workspaces_have_different_names(one: str, other: str) -> None:
    assert one == other or mlflow_workspace(one) != mlflow_workspace(other)


def test_default_workspace_has_the_plain_address() -> None:
    assert url_in_workspace("http://127.0.0.1:5000", "default") == "http://127.0.0.1:5000"
    assert url_in_workspace("http://127.0.0.1:5000", "Red") == "http://127.0.0.1:5000/raylift-workspace/Red"
