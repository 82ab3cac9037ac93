"""Credentials for MLflow's port."""

from __future__ import annotations

import pytest

from raylift.engines.mlflow_engine.signed_credentials import Bearer, mint, read

SECRET = "0" * 64


def test_credential_names_its_bearer() -> None:
    text = mint(SECRET, Bearer.JOB, "job_1.a b", workspace="a@b", issued=9.5, expires=100.0)
    credential = read(SECRET, text, now=99.0)
    assert credential is not None
    assert (credential.bearer, credential.subject, credential.issued) == (Bearer.JOB, "job_1.a b", 10.0)
    assert credential.workspace == "a@b"


def test_only_the_platforms_credential_is_for_all_workspaces() -> None:
    platform = read(SECRET, mint(SECRET, Bearer.PLATFORM, "gateway"), now=0.0)
    assert platform is not None
    assert platform.workspace is None
    for bearer in (Bearer.JOB, Bearer.REPLICA):
        with pytest.raises(ValueError, match="one workspace"):
            mint(SECRET, bearer, "x")


def test_credential_ends_with_its_time() -> None:
    assert read(SECRET, mint(SECRET, Bearer.JOB, "job_1", workspace="red", expires=100.0), now=100.0) is None
    assert read(SECRET, mint(SECRET, Bearer.PLATFORM, "gateway"), now=1e12) is not None


@pytest.mark.parametrize("text", ["", ".", "a.b.c.d.e.f", "rlm.platform..0.0.", "é" * 5])
def test_other_texts_are_refused(text: str) -> None:
    assert read(SECRET, text, now=0.0) is None


def test_changed_credentials_are_refused() -> None:
    text = mint(SECRET, Bearer.REPLICA, "churn:1", workspace="red", expires=100.0)
    for changed in (
        text.replace("replica", "platform"),
        text.replace(b"red".hex(), b"all".hex()),
        text.replace(".100.", ".999."),
        text[:-1],
        text + "0",
    ):
        assert read(SECRET, changed, now=0.0) is None
    assert read("1" * 64, text, now=0.0) is None
