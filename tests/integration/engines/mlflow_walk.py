"""All routes of MLflow's server, asked for the objects of one workspace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
from fastapi.routing import APIRoute
from mlflow.server import app as flask_app
from mlflow.server.fastapi_app import app as fastapi_app

MARK: Final = "what-blue-keeps"
"""In values of the objects. Their names are in the requests, so the answer to a creation has them, too."""

_ELSEWHERE: Final = ("/assistant", "/gateway/supported-")
"""In the routes that run commands, and in those that ask the internet for prices of models."""
ROUTES: Final = sorted(
    (path, method)
    for path, method in {
        *((rule.rule, method) for rule in flask_app.url_map.iter_rules() for method in rule.methods or ()),
        *(
            (route.path, method)
            for route in fastapi_app.routes
            if isinstance(route, APIRoute)
            for method in route.methods or ()
        ),
    }
    if method not in {"OPTIONS", "HEAD"} and not any(part in path for part in _ELSEWHERE)
)
QUERIES: Final = (
    "query { mlflowGetExperiment(input: {experimentId: EXPERIMENT}) { experiment { tags { value } } } }",
    "query { mlflowGetRun(input: {runId: RUN}) { run { data { params { value } } } } }",
    "query { mlflowGetMetricHistoryBulkInterval("
    f'input: {{runIds: [RUN], metricKey: "{MARK}-metric"}}) {{ metrics {{ key }} }} }}',
    "query { mlflowListArtifacts(input: {runId: RUN}) { rootUri files { path } } }",
    "query { mlflowSearchModelVersions(input: {maxResults: 9}) { modelVersions { tags { value } } } }",
    "mutation { mlflowSearchRuns(input: {experimentIds: [EXPERIMENT]}) { runs { data { params { value } } } } }",
)
"""Queries of GraphQL. RUN and EXPERIMENT are in the place of ids."""


def requests_for(path: str, method: str, ids: dict[str, str], workspace: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Fill a route with the ids: in its path, and all fields that MLflow's requests have at once."""
    known = {
        **ids,
        "workspace_name": workspace,
        "artifact_path": f"workspaces/{workspace}/{ids['experiment_id']}/{ids['run_id']}/artifacts/secret.txt",
    }
    url = re.sub(r"[<{](?:[a-z]+:)?(\w+)(?::path)?[>}]", lambda found: known.get(found[1], ids["name"]), path)
    for name in (ids["name"], ids["experiment_name"]):
        fields: dict[str, Any] = {
            **ids,
            "name": name,
            "new_name": "taken",
            "model_name": ids["name"],
            "experiment_ids": [ids["experiment_id"]],
            "run_ids": [ids["run_id"]],
            "trace_ids": [ids["trace_id"]],
            "request_ids": [ids["trace_id"]],
            "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": ids["experiment_id"]}}],
            "run_name": "taken",
            "key": "note",
            "value": "taken",
            "status": "FAILED",
            "stage": "None",
            "path": "secret.txt",
            "artifact_file_path": "secret.txt",
            "metric_key": f"{MARK}-metric",
            "metric_keys": [f"{MARK}-metric"],
            "tag_key": "note",
            "tag_value": "taken",
            "tags": [{"key": "note", "value": "taken"}],
            "max_results": 10,
            "max_traces": 10,
            "max_timestamp_millis": 2**50,
            "timestamp": 1,
            "step": 1,
        }
        yield (
            url,
            {"params": fields} if method == "GET" else {"json": fields, "params": {**ids, "path": "secret.txt"}},
        )


def walk(client: httpx.Client, ids: dict[str, str], workspace: str, *, without: str) -> list[str]:
    """Ask every route for the objects with ``ids`` of ``workspace``. Returns the routes whose answer has the mark.

    ``without`` is ``/api/`` or ``/ajax-api/``: MLflow has most routes twice.
    """
    got: set[str] = set()
    for path, method in ROUTES:
        if path.startswith(without):
            continue
        for url, how in requests_for(path, method, ids, workspace):
            answer = client.request(method, url, **how)
            assert answer.status_code != 401, path
            # An error may repeat the name that was asked for.
            if answer.status_code < 400 and MARK in answer.text:
                got.add(f"{method} {path}")
    return sorted(got)
