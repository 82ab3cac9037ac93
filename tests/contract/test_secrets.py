"""Secrets and encrypted variables, on both databases."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text

from raylift.domain.errors import SecretNotFound, SecretUnreadable
from raylift.domain.models.deployment import DeploymentConfig
from raylift.domain.security.secret import Secret
from raylift.store import KeyRing, Store
from raylift.store.engine.key_ring import make_key_file, new_key, read_keys, write_keys
from raylift.store.migrations import configuration
from tests.contract.samples import NOW, add, after, spec_of

VALUE = "s3cr3t value ÄÖ \N{KEY}"


def put(store: Store, name: str = "AWS", /, **variables: str) -> Secret:
    secret, _ = store.secrets.put("default", name, variables or {"AWS_KEY": VALUE}, by="ada", now=NOW)
    return secret


def dump(store: Store) -> str:
    """Every stored document with variables, as text."""
    with store._database.read() as session:
        documents = [
            *session.scalars(text("SELECT spec FROM jobs")),
            *session.scalars(text("SELECT config FROM deployments")),
            *session.scalars(text("SELECT variables FROM secrets")),
        ]
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in documents)


def test_secret_shows_names_and_never_values(store: Store) -> None:
    secret = put(store, "AWS", KEY_B=VALUE, KEY_A="x")
    assert secret == Secret("default", "AWS", ("KEY_A", "KEY_B"), NOW, NOW, "ada")
    assert store.secrets.list("default") == [store.secrets.get("default", "AWS")] == [secret]
    assert VALUE not in repr(secret)


def test_secret_is_replaced_as_a_whole(store: Store) -> None:
    put(store, "AWS", OLD="1", BOTH="1")
    secret, is_new = store.secrets.put("default", "AWS", {"BOTH": "2"}, by="bob", now=after(5))
    assert not is_new
    assert secret == Secret("default", "AWS", ("BOTH",), NOW, after(5), "bob")
    assert store.secrets.values("default", ["AWS"]).variables == {"BOTH": "2"}


def test_later_secret_of_a_job_wins(store: Store) -> None:
    put(store, "ONE", A="1", B="1")
    put(store, "TWO", B="2")
    assert store.secrets.values("default", ["ONE", "TWO"]).variables == {"A": "1", "B": "2"}
    assert store.secrets.values("default", ["TWO", "ONE"]).variables == {"A": "1", "B": "1"}


def test_secrets_of_other_workspaces_do_not_exist(store: Store) -> None:
    put(store)
    assert store.secrets.list("other") == []
    assert store.secrets.missing("other", ["AWS"]) == ["AWS"]
    with pytest.raises(SecretNotFound):
        store.secrets.values("other", ["AWS"])
    with pytest.raises(SecretNotFound):
        store.secrets.delete("other", "AWS")


def test_deleted_secret_is_gone(store: Store) -> None:
    put(store)
    store.secrets.delete("default", "AWS")
    assert store.secrets.list("default") == []
    with pytest.raises(SecretNotFound):
        store.secrets.delete("default", "AWS")


def test_values_are_encrypted_in_the_store(store: Store) -> None:
    put(store)
    job = add(store, environment={"TOKEN": VALUE})
    store.deployments.ensure("m", "1", model_uri="models:/m/1", config=DeploymentConfig(environment={"T": VALUE}), now=NOW)
    stored = dump(store)
    assert "s3cr3t" not in stored
    assert store.jobs.get(job.job_id).spec.environment == {"TOKEN": VALUE}
    assert store.deployments.get("m", "1").config.environment == {"T": VALUE}


def test_stored_variables_behave_like_a_dict(store: Store) -> None:
    job = add(store, environment={"A": VALUE, "B": "2"})
    spec = store.jobs.get(job.job_id).spec
    assert spec == job.spec
    assert {**spec.environment} == {"A": VALUE, "B": "2"}
    assert pickle.loads(pickle.dumps(spec.environment)) == {"A": VALUE, "B": "2"}
    assert VALUE not in repr(spec.environment)


def test_another_key_reads_names_and_no_values(database_url: str, store: Store, tmp_path: Path) -> None:
    put(store)
    job = add(store, environment={"TOKEN": VALUE})
    make_key_file(tmp_path / "other")
    stranger = Store.open(database_url, KeyRing(tmp_path / "other"))
    try:
        found = stranger.jobs.get(job.job_id).spec.environment
        assert list(found) == ["TOKEN"]
        assert "TOKEN" in found
        assert found == stranger.jobs.get(job.job_id).spec.environment
        assert found != {"OTHER": VALUE}
        with pytest.raises(SecretUnreadable):
            found["TOKEN"]
        with pytest.raises(SecretUnreadable):
            stranger.secrets.values("default", ["AWS"])
        assert stranger.secrets.missing_keys() == {*store._database.keys.ids}
    finally:
        stranger.close()


def test_store_without_a_key_refuses_values(database_url: str) -> None:
    store = Store.open(database_url, KeyRing(None))
    try:
        with pytest.raises(SecretUnreadable):
            put(store)
        with pytest.raises(SecretUnreadable):
            add(store, environment={"TOKEN": VALUE})
        add(store)
    finally:
        store.close()


def test_changed_value_is_refused(store: Store) -> None:
    put(store)
    with store._database.write() as session:
        session.execute(text('UPDATE secrets SET variables = \'{"AWS_KEY": "' + store._database.keys.ids[0] + ".AAAA\"}'"))
    with pytest.raises(SecretUnreadable):
        store.secrets.values("default", ["AWS"])


def test_rotation_leaves_no_value_of_the_old_key(store: Store, open_store: Callable[[], Store], tmp_path: Path) -> None:
    other = open_store()  # As in another process, which learns of the keys from the file alone.
    put(store)
    jobs = [add(store, environment={"TOKEN": f"{VALUE}{number}"}, job_id=f"job{number:04}") for number in range(450)]
    add(store)
    store.deployments.ensure("m", "1", model_uri="models:/m/1", config=DeploymentConfig(environment={"T": VALUE}), now=NOW)
    file = tmp_path / "keys"
    (old,) = read_keys(file)
    (old_id,) = store._database.keys.ids
    write_keys(file, [new := new_key(), old])
    assert store.secrets.reseal() == 452
    assert store.secrets.reseal() == 0
    write_keys(file, [new])
    assert old_id not in dump(store)
    assert other.jobs.get(jobs[7].job_id).spec.environment == {"TOKEN": f"{VALUE}7"}
    assert other.secrets.values("default", ["AWS"]).variables == {"AWS_KEY": VALUE}
    assert other.deployments.get("m", "1").config.environment == {"T": VALUE}
    late = add(other, environment={"TOKEN": VALUE})
    assert store.jobs.get(late.job_id).spec.environment == {"TOKEN": VALUE}


def test_migration_encrypts_values_of_older_releases(empty_database_url: str, keys: KeyRing, tmp_path: Path) -> None:
    make_key_file(tmp_path / "keys")
    store = Store.open(empty_database_url, keys)
    try:
        with store._database.migrating() as connection:
            command.upgrade(configuration(connection, keys), "0008")
        with store._database.write() as session:
            spec = json.dumps(
                {"script_sha256": "x", "script_name": "a.py", "experiment_name": "e", "environment": {"T": VALUE}}
            )
            session.execute(text("INSERT INTO scripts VALUES ('x', :content)"), {"content": b""})
            session.execute(text(_OLD_JOB), {"spec": spec, "now": "2026-01-01 00:00:00"})
        store.migrate()
        assert store.jobs.get("j1").spec.environment == {"T": VALUE}
        assert "s3cr3t" not in dump(store)
        store.close()
        for file in tmp_path.glob("store.db*"):
            assert b"s3cr3t" not in file.read_bytes(), file
        with store._database.migrating() as connection:
            command.downgrade(configuration(connection, keys), "0008")
            (stored,) = connection.scalars(text("SELECT spec FROM jobs"))
        found: Any = json.loads(stored) if isinstance(stored, str) else stored
        assert found["environment"] == {"T": VALUE}
    finally:
        store.close()


_OLD_JOB = """
INSERT INTO jobs (job_id, spec, state, created_at, entered_at, attempt, infrastructure_losses, phases, metrics, status,
                  script_sha256, experiment_name, queue_rank, owner, cpus, memory_bytes, gpus)
VALUES ('j1', :spec, 'completed', :now, :now, 1, 0, '{}', '{}', 'completed', 'x', 'e', 0, 'local', 1, 1, 0)
"""


def test_spec_keeps_names_of_secrets(store: Store) -> None:
    job = add(store, secrets=("AWS", "HF"))
    assert store.jobs.get(job.job_id).spec == spec_of(secrets=("AWS", "HF"))
