"""A project with a package, a data file and requirements: uploaded, trained, registered, rerun and compared."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from raylift import Client, NotFound

FILES = {
    "jobs/train.py": """
import os, sys
from pathlib import Path
import pandas as pd, tinydb
from sklearn.linear_model import LogisticRegression
import mlflow
sys.path.insert(0, os.getcwd())
from shop.features import features

assert sys.path[1] == os.path.dirname(os.path.abspath(__file__)), sys.path
from beside import FACTOR
frame = pd.read_csv("data/customers.csv")
assert not Path("data/private.csv").exists()
Path("data/customers.csv").write_text("overwritten")
with mlflow.start_run():
    model = LogisticRegression(max_iter=FACTOR).fit(features(frame), frame["left"])
    mlflow.log_metric("rows", len(frame))
    mlflow.sklearn.log_model(model, name="model")
print("tinydb", tinydb.__version__, sys.argv[1:], os.environ["SECRET"])
""",
    "jobs/beside.py": "FACTOR = 500\n",
    "shop/__init__.py": "",
    "shop/features.py": "def features(frame):\n    return frame[['age', 'visits']]\n",
    "data/customers.csv": "age,visits,left\n" + "".join(f"{20 + n},{n % 7},{int(n > 20)}\n" for n in range(40)),
    "data/private.csv": "secret",
    "requirements.txt": "# what the platform does not have\ntinydb==4.8.2\n",
    ".gitignore": "private.csv\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_project_trains_registers_answers_and_reruns(client: Client, project: Path) -> None:
    name = f"shop-{uuid.uuid4().hex[:8]}"
    job = client.train(project, entrypoint="jobs/train.py", model=name, args=["--n", "1"], env={"SECRET": "s3"}, cpus=0.5)
    job.wait(timeout=240, progress=False)
    assert (job.model_version, job.metrics["rows"]) == ("1", 40.0)
    assert "tinydb 4.8.2 ['--n', '1'] s3" in job.logs()
    assert (job.view.entrypoint, job.view.requirements_source) == ("jobs/train.py", "requirements.txt")
    assert job.view.environment_lock == ["tinydb==4.8.2"]
    answer = client.predict(name, [{"age": 25, "visits": 3}, {"age": 55, "visits": 3}], timeout=120)
    assert answer.predictions == [0, 1]

    again = job.rerun().wait(timeout=240, progress=False)
    assert again.view.project_sha256 == job.view.project_sha256
    assert again.view.environment_lock == job.view.environment_lock
    assert again.logs().splitlines()[-1] == job.logs().splitlines()[-1]  # Earlier warnings contain the time of day.
    assert client.jobs.diff(job, again).same

    (project / "jobs/beside.py").write_text("FACTOR = 600\n")
    other = client.train(project, entrypoint="jobs/train.py", model=name, env={"SECRET": "other"}, cpus=0.5)
    diff = client.jobs.diff(job, other)
    assert [(item.name, item.change) for item in diff.project] == [("jobs/beside.py", "changed")]
    assert [(item.name, item.change) for item in diff.environment] == [("SECRET", "changed")]
    assert diff.script is None and diff.args is not None
    other.cancel().wait(timeout=60, progress=False, raise_on_failure=False)
    for each in (other, again, job):
        each.delete()
    with pytest.raises(NotFound):
        job.project()


# In CI, tests of the replica load models with code paths.
@pytest.mark.nightly
def test_model_of_a_class_in_the_project_answers(client: Client, tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/__init__.py").write_text(
        "from sklearn.base import BaseEstimator, RegressorMixin\n"
        "class Doubler(RegressorMixin, BaseEstimator):\n"
        "    def fit(self, X, y=None):\n        self.n_features_in_ = 1\n        return self\n"
        "    def predict(self, X):\n        return 2 * X[:, 0]\n"
    )
    (tmp_path / "train.py").write_text(
        "import mlflow, numpy as np\nfrom pkg import Doubler\nwith mlflow.start_run():\n"
        "    X = np.ones((3, 1))\n"
        "    mlflow.sklearn.log_model(Doubler().fit(X), name='model', code_paths=['pkg'], input_example=X)\n"
    )
    name = f"own-{uuid.uuid4().hex[:8]}"
    client.train(tmp_path, entrypoint="train.py", model=name, cpus=0.5).wait(timeout=240, progress=False)
    assert client.predict(name, [[4.0]], timeout=120).predictions == [8.0]


@pytest.mark.nightly
def test_inline_metadata_of_a_script_gives_its_requirements(client: Client) -> None:
    script = (
        '# /// script\n# requires-python = ">=3.11"\n# dependencies = ["tinydb==4.8.2"]\n# ///\nimport tinydb\nprint("found")\n'
    )
    job = client.train(script_content=script, experiment="metadata").wait(timeout=120, progress=False)
    assert job.view.requirements_source == "script metadata"
    assert "found" in job.logs()
