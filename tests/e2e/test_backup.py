"""A lost machine: backup while a team's platform runs with keys, sign-in and TLS, then everything is deleted and restored."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509

from raylift import Client
from raylift.client.credentials import kept_key
from raylift.launcher import LocalPlatform
from raylift.launcher.backup.create import write_backup
from raylift.launcher.backup.restore import restore_backup
from raylift.launcher.processes.platform_processes import processes_of
from tests.certificates import Authority
from tests.e2e.conftest import OVERRIDES
from tests.identity_provider import Provider, running_provider

MODEL = """
import mlflow, os
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit([[0.0], [1.0]], [0.0, len(os.environ["KEY"])])
mlflow.sklearn.log_model(model, name="model", input_example=[[1.0]])
"""
SLOW = 'import os, time\nprint("begun", flush=True)\ntime.sleep(6)\nprint("length", len(os.environ["KEY"]))\n'
APP = "https://app.example"
PREDICT = "/v2/models/lost/versions/1/predict"
BODY = {"inputs": [[1.0]]}


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Path]:
    """A state directory that may disappear."""
    directory = Path(tempfile.mkdtemp(prefix="raylift-lost-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@dataclass
class Team:
    """A platform with keys, TLS and sign-in: an admin, ann, who signed in, and a key that only asks the model."""

    platform: LocalPlatform
    ca: Path
    keys: dict[str, str] = field(default_factory=dict[str, str])

    def client(self, who: str) -> Client:
        return Client(self.platform.url, self.keys[who], ca=self.ca)

    def send(self, who: str | None, path: str, **how: Any) -> httpx.Response:
        """Send a request through a connection of its own, as a new client does."""
        headers = {"Authorization": f"Bearer {self.keys[who]}"} if who else {}
        context = ssl.create_default_context(cafile=str(self.ca))
        with httpx.Client(verify=context, timeout=120, trust_env=False, headers={**headers, **how.pop("headers", {})}) as http:
            return http.request("POST" if "json" in how else "GET", self.platform.url + path, **how)

    def serial(self) -> int:
        """Number of the certificate that the platform shows."""
        url = urlsplit(self.platform.url)
        shown = ssl.get_server_certificate((url.hostname or "", url.port or 0), ca_certs=str(self.ca))
        return x509.load_pem_x509_certificate(shown.encode()).serial_number


@pytest.mark.nightly
def test_restored_platform_of_a_team_answers_the_same(lost: Path, tmp_path: Path) -> None:
    authority = Authority.make()
    ca = authority.write(tmp_path / "ca.pem")
    cert, key = authority.issue(tmp_path)
    secret = tmp_path / "client-secret"
    secret.write_text("s3cret")
    file = tmp_path / "backup.tar.gz"
    with running_provider() as provider:
        provider.put("ann", email="ann@example.org", groups=["red"])
        overrides: dict[str, Any] = {
            **OVERRIDES,
            "auth": "keys",
            "oidc": provider.settings(client_secret_file=str(secret)),
            "gateway": {"tls": {"cert": str(cert), "key": str(key)}, "allowed_origins": [APP]},
        }
        first = Team(LocalPlatform.start(lost, overrides=overrides), ca)
        try:
            assert first.platform.url.startswith("https://127.0.0.1:")
            first.keys["admin"] = json.loads((lost / "admin-key.json").read_text())["key"]
            first.keys["ann"] = signed_in(first, provider, "ann", tmp_path)
            with first.client("admin") as admin:
                first.keys["app"] = admin.keys.create("app", workspace="red", models=["lost"]).key
            with first.client("ann") as client:
                client.secrets.set("KEY", "hunter2")
                job = client.train(script_content=MODEL, model="lost", secrets=["KEY"]).wait(timeout=400, progress=False)
                answer = client.predict("lost", [[1.0], [2.0]], timeout=120)
                assert [round(value) for value in answer.predictions] == [7, 14]
            assert ask(first, "app").headers.get("access-control-allow-origin") == APP
            assert first.send(None, PREDICT, json=BODY).status_code == 401
            renew_certificate(first, lambda: authority.issue(tmp_path))
            with first.client("ann") as client:
                running = client.train(script_content=SLOW, secrets=["KEY"])
                wait_for_output(running)
                write_backup(lost, file, with_keys=True)
        finally:
            first.platform.stop()
        assert not processes_of(first.platform.record.instance)
        shutil.rmtree(lost)

        restore_backup(file, lost)
        second = Team(LocalPlatform.start(lost, overrides=overrides), ca, first.keys)
        try:
            with second.client("ann") as client:
                assert client.whoami().name == "ann@example.org"
                assert client.predict("lost", [[1.0], [2.0]], timeout=240).predictions == answer.predictions
                assert "Traceback" not in client.jobs.get(job.job_id).logs()
                # It ran during the backup, and runs again from its beginning.
                assert "length 7" in client.jobs.get(running.job_id).wait(timeout=400, progress=False).logs()
                assert [secret.name for secret in client.secrets.list()] == ["KEY"]
            ask(second, "app")
            with second.client("admin") as admin:
                assert {"app", "ann@example.org"} <= {key.name for key in admin.keys.list()}
            second.keys["wrong"] = "rl_abcdefgh_" + "x" * 43
            for who in (None, "wrong"):
                assert second.send(who, PREDICT, json=BODY).status_code == 401
        finally:
            second.platform.stop()


def signed_in(team: Team, provider: Provider, subject: str, home: Path) -> str:
    """Run ``raylift login --device``, confirm on the provider's page, and return the key that the command keeps."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAYLIFT")}
    own = {"XDG_CONFIG_HOME": str(home), "RAYLIFT_URL": team.platform.url, "RAYLIFT_CA": str(team.ca)}
    command = [sys.executable, "-c", "from raylift.cli.app import main; main()", "login", "--device"]
    with subprocess.Popen(command, env={**kept, **own}, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            code = re.search(r"enter the code (\w+)", line)
            if code is not None:
                provider.confirm(code[1], subject)
    assert process.returncode == 0, said
    assert "submitter in the workspace red" in said
    found = kept_key(team.platform.url, {"XDG_CONFIG_HOME": str(home)})
    assert found is not None
    return found


def ask(team: Team, who: str) -> httpx.Response:
    """Ask the version's own route, as a page of another site does."""
    answer = team.send(who, PREDICT, json=BODY, headers={"Origin": APP})
    assert answer.status_code == 200, answer.text
    return answer


def renew_certificate(team: Team, renew: Callable[[], object]) -> None:
    """Renew the certificate while clients ask. None of their requests fails."""
    before, stop = team.serial(), threading.Event()

    def keep_asking() -> int:
        asked = 0
        while not stop.is_set():
            ask(team, "app")
            assert team.send("ann", "/mlops/whoami").status_code == 200
            asked += 1
        return asked

    with ThreadPoolExecutor(3) as threads:
        clients = [threads.submit(keep_asking) for _ in range(3)]
        try:
            renew()
            end = time.monotonic() + 120
            while team.serial() == before:
                assert time.monotonic() < end, "the renewed certificate is not used"
                time.sleep(0.5)
            time.sleep(2)
        finally:
            stop.set()
        assert all(client.result() > 0 for client in clients)


def wait_for_output(job: Any) -> None:
    for _ in job.logs(follow=True):
        return
