from __future__ import annotations

from pathlib import Path

import pytest

from raylift.launcher.errors import LauncherError
from raylift.launcher.run.config import load_config
from raylift.launcher.run.ports import PlatformPorts
from raylift.launcher.startup import new_record, platform_settings


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_file_of_the_user_overrides_the_defaults(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "ports: {gateway: 9000}\nresources: {object_store_memory: 1GiB}"))
    assert config.ports.gateway == 9000
    assert config.ports.mlflow == 5000
    assert config.resources.object_store_memory == 2**30


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "ports: {gateway: 9000}"), {"ports": {"gateway": 9001}})
    assert config.ports.gateway == 9001


def test_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "# nothing\n")) == load_config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("port: 1", "port: there is no such key"),
        ("ports: {gatway: 1}", "ports.gatway: there is no such key"),
        ("ports: {gateway: 70000}", "ports.gateway: "),
        ("resources: {memory: plenty}", "resources.memory: 'plenty' is not an amount of memory"),
        ("jobs: {nice: very}", "jobs.nice: "),
        ("[]", "is not a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(LauncherError) as caught:
        load_config(written(tmp_path, text))
    assert says in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")


def test_jobs_do_not_get_the_serving_reserve() -> None:
    config = load_config(overrides={"resources": {"cpus": 4}, "supervisor": {"serving_reserve_cpus": 1.5}})
    assert config.job_cpus() == 4
    assert config.ray_cpus() == 6


def test_sign_in_and_reports_reach_the_platform(tmp_path: Path) -> None:
    groups = [{"group": "red", "role": "viewer"}]
    oidc = {"issuer": "https://id.example", "client_id": "x", "groups": groups, "client_secret_file": "~/secret"}
    config = load_config(None, {"auth": "keys", "oidc": oidc, "reports": {"refuse_scripts": "high"}})
    record = new_record(tmp_path, config, PlatformPorts(gateway=1, ray_dashboard=2, mlflow=3, block=20000, grpc=None))
    settings = platform_settings(config, record, {})
    assert (settings.oidc.issuer, settings.oidc.client_secret_file) == ("https://id.example", Path("~/secret").expanduser())
    assert settings.reports.refuse_scripts == "high"
