"""Backup and restore of a state directory, without the platform's processes."""

from __future__ import annotations

import io
import os
import sqlite3
import tarfile
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raylift.domain.access import AccessKey, Role, new_token
from raylift.domain.job import JobSpec
from raylift.launcher.backup.create import write_backup
from raylift.launcher.backup.restore import restore_backup
from raylift.launcher.errors import LauncherError
from raylift.launcher.run.access_files import prepare_keys
from raylift.store import KeyRing, Store
from raylift.store.engine.key_ring import make_key_file

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCRIPT_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc"
VALUE = "hunter2-hunter2"


def open_store(state: Path) -> Store:
    return Store.open(f"sqlite:///{state}/raylift.db", KeyRing(state / "secrets-key"))


def add(store: Store, job_id: str, **fields: str) -> None:
    store.jobs.add(JobSpec(SCRIPT_SHA256, "a.py", "e", environment=fields), b"abc", job_id=job_id, now=NOW)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A platform's directory with a job, a secret, a run, artifacts and an attempt."""
    state = tmp_path / "state"
    artifacts = state / "mlflow" / "artifacts" / "1" / "model"
    artifacts.mkdir(parents=True)
    make_key_file(state / "secrets-key")
    with closing(open_store(state)) as store:
        store.migrate()
        add(store, "job_1", TOKEN=VALUE)
        store.secrets.put("default", "AWS", {"KEY": VALUE}, by="ada", now=NOW)
    with closing(sqlite3.connect(state / "mlflow" / "mlflow.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE runs (id TEXT)")
        database.execute("INSERT INTO runs VALUES ('r1')")
        database.commit()
    (artifacts / "model.pkl").write_bytes(b"weights" * 1000)
    attempt = state / "attempts" / "job_1-a1"
    (attempt / "work").mkdir(parents=True)
    (attempt / "attempt.json").write_text(f'{{"environment": {{"TOKEN": "{VALUE}"}}}}')
    (attempt / "output.log").write_text("epoch 1\n")
    (attempt / "work" / "big.bin").write_bytes(b"x" * 1000)
    (state / "counters").mkdir()
    (state / "counters" / "a").write_bytes(b"1")
    (state / "environments").mkdir()
    (state / "environments" / "x").write_bytes(b"built again")
    return state


def names(file: Path) -> set[str]:
    with tarfile.open(file) as archive:
        return set(archive.getnames())


def test_restored_directory_has_everything(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    settings = tmp_path / "my.yaml"
    settings.write_text("database: null\njobs: {nice: 5}\n")
    assert write_backup(state, file, config_file=settings, with_keys=True).has_keys
    assert file.stat().st_mode & 0o777 == 0o600
    target = tmp_path / "new"
    restored = restore_backup(file, target)
    assert restored.settings == target / "settings.yaml"
    assert (target / "settings.yaml").read_text() == "jobs:\n  nice: 5\n"
    with closing(open_store(target)) as store:
        assert store.jobs.get("job_1").spec.environment == {"TOKEN": VALUE}
        assert store.secrets.values("default", ["AWS"]).variables == {"KEY": VALUE}
        assert store.jobs.script(SCRIPT_SHA256) == b"abc"
    with closing(sqlite3.connect(target / "mlflow" / "mlflow.db")) as database:
        assert database.execute("SELECT id FROM runs").fetchall() == [("r1",)]
    assert (target / "mlflow/artifacts/1/model/model.pkl").read_bytes() == b"weights" * 1000
    assert (target / "attempts/job_1-a1/output.log").read_text() == "epoch 1\n"
    assert (target / "counters/a").read_bytes() == b"1"
    for path in target.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.name == "run.lock", path
    assert not list(target.glob(".restore-*")) and not list(state.glob(".backup-*"))


def test_keys_workspaces_and_sign_ins_work_after_a_restore(state: Path, tmp_path: Path) -> None:
    tokens = {name: new_token() for name in ("ann", "ended", "signed-in")}
    with closing(open_store(state)) as store:
        for name, token in tokens.items():
            subject = "https://id.example 1" if name == "signed-in" else None
            store.keys.add(AccessKey(token.key_id, token.sha256, name, Role.VIEWER, "red", (), NOW, "admin", subject=subject))
        store.keys.revoke(tokens["ended"].key_id, now=NOW)
        store.workspaces.claim_environment("e1", "red")
        prepare_keys(store, state, url="http://127.0.0.1:8000", ingress_directory=tmp_path)
        kept = store.keys.list()
    file, target = tmp_path / "b.tar.gz", tmp_path / "new"
    write_backup(state, file, with_keys=True)
    assert not {"admin-key.json", "mlflow/secret"} & {name.removeprefix("./") for name in names(file)}
    restore_backup(file, target)
    with closing(open_store(target)) as store:
        assert store.keys.list() == kept
        assert store.workspaces.of_environments() == {"e1": {"red"}}
        valid = {key.name for key in store.keys.unrevoked(NOW)}
        assert valid == {"admin", "ann", "signed-in"}
        # The first start makes another admin key for the platform's user.
        assert prepare_keys(store, target, url="http://127.0.0.1:8000", ingress_directory=tmp_path)
        assert (target / "admin-key.json").exists()


def test_file_has_no_clear_secret_and_no_key(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    assert not write_backup(state, file).has_keys
    found = names(file)
    assert not {name for name in found if "attempt.json" in name or "work" in name or "environments" in name or "key" in name}
    restore_backup(file, target := tmp_path / "new")
    for path in target.rglob("*"):
        assert path.is_dir() or VALUE.encode() not in path.read_bytes(), path
    # The former key makes it whole again.
    os.link(state / "secrets-key", target / "secrets-key")
    with closing(open_store(target)) as store:
        assert store.secrets.values("default", ["AWS"]).variables == {"KEY": VALUE}


def test_backup_is_consistent_while_jobs_are_added(state: Path, tmp_path: Path) -> None:
    stop, added = threading.Event(), list[str]()

    def write() -> None:
        with closing(open_store(state)) as store:
            while not stop.is_set():
                add(store, job_id := f"job_2{len(added):06}", TOKEN=VALUE)
                added.append(job_id)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(added) < 5:
            stop.wait(0.01)
        before = list(added)
        write_backup(state, tmp_path / "b.tar.gz", with_keys=True)
    finally:
        stop.set()
        writer.join()
    restore_backup(tmp_path / "b.tar.gz", tmp_path / "new")
    with closing(open_store(tmp_path / "new")) as store:
        assert all(store.jobs.get(job_id).spec.environment == {"TOKEN": VALUE} for job_id in before)
    with closing(sqlite3.connect(tmp_path / "new" / "raylift.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_links_of_scripts_are_not_followed(state: Path, tmp_path: Path) -> None:
    decoy = tmp_path / "decoy"
    decoy.write_text("of another user")
    log = state / "attempts" / "job_1-a1" / "output.log"
    log.unlink()
    log.symlink_to(decoy)
    os.mkfifo(state / "mlflow" / "artifacts" / "pipe")
    write_backup(state, tmp_path / "b.tar.gz")
    assert not {name for name in names(tmp_path / "b.tar.gz") if name.endswith(("output.log", "pipe"))}


def test_backup_overwrites_nothing(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    file.write_text("mine")
    with pytest.raises(LauncherError, match="exists already"):
        write_backup(state, file)
    with pytest.raises(LauncherError, match="has no platform"):
        write_backup(tmp_path / "nothing", tmp_path / "c.tar.gz")
    assert not list(tmp_path.glob("*c.tar.gz*"))


def test_restore_needs_an_empty_directory(state: Path, tmp_path: Path) -> None:
    write_backup(state, tmp_path / "b.tar.gz")
    with pytest.raises(LauncherError, match="has a platform already"):
        restore_backup(tmp_path / "b.tar.gz", state)


@pytest.mark.parametrize("keep", [0, 10, 500, -100])
def test_incomplete_file_changes_nothing(state: Path, tmp_path: Path, keep: int) -> None:
    file = tmp_path / "b.tar.gz"
    write_backup(state, file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(LauncherError, match=r"no (complete )?backup"):
        restore_backup(file, tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"run.lock"}


@pytest.mark.parametrize("kind", ["path", "absolute", "link"])
def test_forged_entry_is_refused(state: Path, tmp_path: Path, kind: str) -> None:
    write_backup(state, tmp_path / "b.tar.gz")
    forged = tmp_path / "forged.tar.gz"
    with tarfile.open(tmp_path / "b.tar.gz") as old, tarfile.open(forged, "w:gz") as new:
        for entry in old:
            new.addfile(entry, old.extractfile(entry))
        entry = tarfile.TarInfo({"path": "../decoy", "absolute": str(tmp_path / "decoy"), "link": "payloads"}[kind])
        if kind == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, str(tmp_path)
        else:
            entry.size = 1
        new.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(LauncherError, match="may be forged"):
        restore_backup(forged, tmp_path / "new")
    assert not (tmp_path / "decoy").exists()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"run.lock"}
