"""Keys and workspaces."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from raylift.domain.access import AccessKey, Role, new_token
from raylift.domain.errors import KeyNotFound, ModelTaken
from raylift.store import JobFilter, Store
from tests.contract.samples import NOW, add, after


def key(name: str = "ann", **fields: Any) -> AccessKey:
    token = new_token()
    given: dict[str, Any] = {"role": Role.SUBMITTER, "workspace": "red", "models": (), "created_at": NOW, "created_by": "admin"}
    return AccessKey(token.key_id, token.sha256, name, **(given | fields))


def test_key_is_read_as_it_was_stored(store: Store) -> None:
    stored = key(models=("churn", "fraud"), expires_at=after(60))
    store.keys.add(stored)
    assert store.keys.get(stored.key_id) == stored
    assert store.keys.list() == store.keys.unrevoked(NOW) == [stored]


def test_revoked_key_stays_in_the_list_only(store: Store) -> None:
    first, second = key(), key("bob", created_at=after(1))
    store.keys.add(first)
    store.keys.add(second)
    store.keys.revoke(first.key_id, now=after(2))
    assert store.keys.revoke(first.key_id, now=after(3)).revoked_at == after(2)
    assert [one.name for one in store.keys.list()] == ["ann", "bob"]
    assert store.keys.unrevoked(NOW) == [second]


def test_unknown_key_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(KeyNotFound):
        store.keys.revoke("nothing1", now=NOW)


def test_rotated_key_expires_when_its_grace_ends(store: Store) -> None:
    first, second = key(), key()
    store.keys.add(first)
    store.keys.replace(first.key_id, second, now=after(1), expires_at=after(100))
    assert store.keys.get(first.key_id).expires_at == after(100)
    assert {one.key_id for one in store.keys.unrevoked(NOW)} == {first.key_id, second.key_id}


def test_rotation_never_extends_a_key(store: Store) -> None:
    first = key(expires_at=after(10))
    store.keys.add(first)
    store.keys.replace(first.key_id, key(), now=after(1), expires_at=after(100))
    assert store.keys.get(first.key_id).expires_at == after(10)
    with pytest.raises(KeyNotFound):
        store.keys.replace(first.key_id, key(), now=after(11), expires_at=after(100))


def test_last_use_is_written(store: Store) -> None:
    used, other = key(), key("bob")
    store.keys.add(used)
    store.keys.add(other)
    store.keys.used({used.sha256, "0" * 64}, now=NOW + timedelta(hours=1))
    assert store.keys.get(used.key_id).last_used_at == NOW + timedelta(hours=1)
    assert store.keys.get(other.key_id).last_used_at is None


def test_jobs_are_listed_by_workspace(store: Store) -> None:
    ours = add(store, workspace="red")
    theirs = add(store, workspace="blue", now=after(1))
    assert [job.job_id for job in store.jobs.list(JobFilter(workspace="red"), limit=9).jobs] == [ours.job_id]
    assert len(store.jobs.list(JobFilter(), limit=9).jobs) == 2
    assert store.workspaces.of_job(theirs.job_id) == "blue"
    assert store.workspaces.of_job("job_0") is None


def test_model_belongs_to_the_first_workspace(store: Store) -> None:
    add(store, workspace="red", model_name="churn")
    add(store, workspace="red", model_name="churn")
    with pytest.raises(ModelTaken):
        add(store, workspace="blue", model_name="churn")
    with pytest.raises(ModelTaken):
        add(store, model_name="churn")
    assert store.workspaces.of_models() == {"churn": "red"}
    assert store.workspaces.of_model("churn") == "red"


def test_model_without_a_job_belongs_to_the_workspace_that_claims_it(store: Store) -> None:
    store.workspaces.claim_model("churn", "red")
    store.workspaces.claim_model("churn", "red")
    for other in ("blue", "default"):
        with pytest.raises(ModelTaken):
            store.workspaces.claim_model("churn", other)
    add(store, model_name="iris")
    store.workspaces.claim_model("iris", "default")
    with pytest.raises(ModelTaken):
        store.workspaces.claim_model("iris", "red")
    assert (store.workspaces.of_model("churn"), store.workspaces.of_model("iris")) == ("red", "default")


def test_models_of_local_mode_belong_to_the_default_workspace(store: Store) -> None:
    add(store, model_name="churn")
    with pytest.raises(ModelTaken):
        add(store, workspace="blue", model_name="churn")
    add(store, model_name="churn")
    assert store.workspaces.of_models() == {}


def test_workspaces_are_those_of_keys(store: Store) -> None:
    store.keys.add(key())
    assert store.workspaces.names() == ["default", "red"]


def test_ended_sign_ins_of_a_person_are_deleted_by_the_next(store: Store) -> None:
    ended, young = key(expires_at=after(10), subject="id ann"), key(expires_at=after(90_000), subject="id ann")
    for one in (
        ended,
        young,
        by_hand := key(expires_at=after(10)),
        other := key("bob", expires_at=after(10), subject="id bob"),
    ):
        store.keys.add(one)
    latest = key(created_at=after(100_000), expires_at=after(200_000), subject="id ann")
    store.keys.add_login(latest)
    assert {one.key_id for one in store.keys.list()} == {one.key_id for one in (young, by_hand, other, latest)}


def test_keys_that_expired_a_day_ago_are_no_longer_looked_up(store: Store) -> None:
    one = key(expires_at=after(10))
    store.keys.add(one)
    assert store.keys.unrevoked(after(86_000)) == [one]
    assert store.keys.unrevoked(after(86_500)) == []


def test_environments_know_the_workspaces_that_need_them(store: Store) -> None:
    for workspace in ("red", "blue", "red"):
        store.workspaces.claim_environment("e1", workspace)
    store.workspaces.claim_environment("e2", "red")
    assert store.workspaces.of_environments() == {"e1": {"red", "blue"}, "e2": {"red"}}
