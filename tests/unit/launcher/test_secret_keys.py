"""Keys that encrypt secrets: their file, the variable, and their rotation."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raylift.engines.attempts.old_variables import remove_old_variables
from raylift.launcher.errors import LauncherError
from raylift.launcher.key_rotation import rotate_keys
from raylift.launcher.run.record import RunRecord, write_record
from raylift.launcher.run.secret_keys import KEYS_VARIABLE, key_file, prepare_encryption_keys
from raylift.store import KeyRing, Store
from raylift.store.engine.key_ring import new_key, read_keys

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record_of(tmp_path: Path) -> RunRecord:
    (tmp_path / "session").mkdir(exist_ok=True)
    return RunRecord(
        instance="i", started_at=NOW, host="127.0.0.1", ports={}, state_dir=tmp_path, session_dir=tmp_path / "session"
    )


def open_store(tmp_path: Path, keys: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path}/raylift.db", KeyRing(keys))


def put(tmp_path: Path, keys: Path) -> None:
    with closing(open_store(tmp_path, keys)) as store:
        store.migrate()
        store.secrets.put("default", "AWS", {"A": "hunter2"}, by="ada", now=NOW)


def value(tmp_path: Path, keys: Path) -> str:
    with closing(open_store(tmp_path, keys)) as store:
        return store.secrets.values("default", ["AWS"]).variables["A"]


def test_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    prepare_encryption_keys(record, {})
    file = key_file(record, {})
    keys = read_keys(file)
    file.chmod(0o644)
    prepare_encryption_keys(record, {})
    assert file == tmp_path / "secrets-key"
    assert read_keys(file) == keys
    assert file.stat().st_mode & 0o777 == 0o600


def test_keys_of_the_variable_stay_out_of_the_state_directory(tmp_path: Path) -> None:
    record, keys = record_of(tmp_path), [new_key(), new_key()]
    environ = {KEYS_VARIABLE: ", ".join(keys)}
    prepare_encryption_keys(record, environ)
    assert read_keys(key_file(record, environ)) == keys
    assert key_file(record, environ).parent == record.session_dir
    assert not (tmp_path / "secrets-key").exists()


def test_malformed_key_of_the_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="Key 2 of RAYLIFT_SECRETS_KEYS") as raised:
        prepare_encryption_keys(record_of(tmp_path), {KEYS_VARIABLE: f"{new_key()} hunter2"})
    assert "hunter2" not in str(raised.value)


def test_rotation_replaces_the_key_of_the_state_directory(tmp_path: Path) -> None:
    file = tmp_path / "secrets-key"
    prepare_encryption_keys(record_of(tmp_path), {})
    (old,) = read_keys(file)
    put(tmp_path, file)
    rotation = rotate_keys(tmp_path, environ={})
    assert (rotation.changed, rotation.source) == (1, str(file))
    assert len(read_keys(file)) == 1
    assert read_keys(file) != [old]
    assert value(tmp_path, file) == "hunter2"


def test_failed_rotation_loses_no_key(tmp_path: Path) -> None:
    file = tmp_path / "secrets-key"
    prepare_encryption_keys(record_of(tmp_path), {})
    put(tmp_path, file)
    (old,) = read_keys(file)
    file.write_text(new_key(), encoding="ascii")
    with pytest.raises(LauncherError, match="its key is missing"):
        rotate_keys(tmp_path, environ={})
    file.write_text(f"{file.read_text(encoding='ascii')}{old}\n", encoding="ascii")
    rotate_keys(tmp_path, environ={})
    assert value(tmp_path, file) == "hunter2"


def test_rotation_to_the_first_key_of_the_variable(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    old, new = new_key(), new_key()
    prepare_encryption_keys(record, {KEYS_VARIABLE: old})
    file = record.session_dir / "secrets-key"
    put(tmp_path, file)
    write_record(record)
    assert rotate_keys(tmp_path, environ={KEYS_VARIABLE: f"{new} {old}"}).changed == 1
    assert read_keys(file) == [new]
    assert value(tmp_path, file) == "hunter2"


def test_attempts_of_older_releases_lose_their_variables_once(tmp_path: Path) -> None:
    attempt = tmp_path / "job_1-a1"
    attempt.mkdir()
    (attempt / "attempt.json").write_text(json.dumps({"job_id": "job_1", "environment": {"T": "hunter2"}}))
    damaged = tmp_path / "job_2-a1"
    damaged.mkdir()
    (damaged / "attempt.json").write_text("{")
    assert remove_old_variables(tmp_path) == 1
    assert json.loads((attempt / "attempt.json").read_text()) == {"job_id": "job_1", "environment": {}}
    assert remove_old_variables(tmp_path) == 0
