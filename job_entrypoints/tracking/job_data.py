"""Records a job's datasets as inputs of its runs in MLflow, as ``mlflow.log_input`` does."""

from __future__ import annotations

import functools
import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LONGEST_DIGEST = 36
"""MLflow's limit."""
_CONTEXT = "mlflow.data.context"


def log_data(create_run: Callable[..., Any], data: list[dict[str, Any]]) -> Callable[..., Any]:
    """Wrap ``create_run`` of MLflow's client, to add the datasets to each run."""

    @functools.wraps(create_run)
    def create_and_log(client: Any, *arguments: Any, **named: Any) -> Any:
        run = create_run(client, *arguments, **named)
        try:
            client.log_inputs(run.info.run_id, [_input_of(each) for each in data])
        except Exception as error:  # noqa: BLE001 - a script does not fail for the lineage of its run
            print(f"[raylift] the run's datasets are not recorded in MLflow: {error}", file=sys.stderr)  # noqa: T201
        return run

    return create_and_log


def _input_of(data: dict[str, Any]) -> Any:
    # MLflow's client has imported it.
    entities: Any = sys.modules["mlflow.entities"]
    reference = f"{data['name']}@{data['version']}"
    source = {"uri": data["source"], "dataset": reference, "sha256": data["digest"]}
    dataset = entities.Dataset(data["name"], data["digest"][:_LONGEST_DIGEST], "raylift", json.dumps(source), None, None)
    return entities.DatasetInput(dataset, [entities.InputTag(_CONTEXT, data["alias"])])
