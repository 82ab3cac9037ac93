"""Jobs of several kinds that run at once, for tests that look at one each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raylift import Client, Job

CLASSIFIER = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500)
"""


@dataclass(frozen=True)
class Kinds:
    """Jobs by kind, all submitted at once."""

    client: Client
    jobs: Mapping[str, Job]
    suffix: str

    def model(self, kind: str) -> str:
        return f"{kind}-{self.suffix}"

    def ended(self, kind: str) -> Job:
        return self.jobs[kind].wait(240, progress=False, raise_on_failure=False)

    def completed(self, kind: str) -> Job:
        job = self.ended(kind)
        assert job.status == "completed", (job.reason, job.message, job.logs()[-2000:])
        return job


def submitted(client: Client, scripts: Mapping[str, str], options: Mapping[str, Mapping[str, Any]]) -> Kinds:
    """Submit a job for each script.

    Args:
        client: Of the platform.
        scripts: Kind → script. ``{model}`` in it is replaced by the kind's model name.
        options: Kind → further options of ``Client.train``.
    """
    suffix = uuid.uuid4().hex[:6]
    jobs: dict[str, Job] = {}
    for kind, script in scripts.items():
        model = f"{kind}-{suffix}"
        chosen: dict[str, Any] = {"model": model, **options.get(kind, {})}
        content = script.replace("{model}", model)
        jobs[kind] = client.train(script_content=content, experiment="kinds", cpus=0.5, memory="1GiB", **chosen)
    return Kinds(client, jobs, suffix)
