"""Addresses that other machines reach are refused without authentication."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from raylift.cli.app import app
from raylift.launcher import LocalPlatform
from raylift.launcher.errors import LauncherError
from raylift.launcher.run.config import load_config
from raylift.launcher.run.exposure import OpenWithoutAuthentication, is_loopback, names_note, require_authentication


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("LocalHost", True), ("0.0.0.0", False), ("10.0.0.5", False),
     ("::", False), ("raylift.example", False)],
)  # fmt: skip
def test_only_loopback_needs_no_authentication(host: str, loopback: bool) -> None:
    config = load_config(overrides={"host": host})
    assert is_loopback(host) == loopback
    if loopback:
        require_authentication(config)
        return
    with pytest.raises(OpenWithoutAuthentication, match="--insecure-no-auth"):
        require_authentication(config)
    require_authentication(load_config(overrides={"host": host, "insecure_no_auth": True}))
    require_authentication(load_config(overrides={"host": host, "auth": "keys"}))


def test_open_platform_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="--insecure-no-auth"):
        LocalPlatform.start(tmp_path / "state", overrides={"host": "0.0.0.0"})
    assert not (tmp_path / "state").exists()


def test_command_line_names_hosts_and_insists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, object] = {}

    def start(*_: object, overrides: dict[str, object], **__: object) -> None:
        told.update(overrides)
        raise LauncherError("enough")

    monkeypatch.setattr(LocalPlatform, "start", start)
    monkeypatch.setenv("RAYLIFT_ALLOWED_HOSTS", "a.example b.example")
    options = ["up", "--state-dir", str(tmp_path), "--host", "0.0.0.0"]
    CliRunner().invoke(app, options)
    assert (told["gateway"], told.get("insecure_no_auth")) == ({"allowed_hosts": ["a.example", "b.example"]}, None)
    CliRunner().invoke(app, [*options, "--allowed-host", "c.example", "--insecure-no-auth"])
    assert (told["gateway"], told["insecure_no_auth"]) == ({"allowed_hosts": ["c.example"]}, True)
    load_config(overrides=told)


def test_open_platform_without_names_says_so() -> None:
    assert "--allowed-host" in str(names_note(load_config(overrides={"host": "0.0.0.0"})))
    assert names_note(load_config()) is None
    named = {"host": "0.0.0.0", "gateway": {"allowed_hosts": ["a.example"]}}
    assert names_note(load_config(overrides=named)) is None
