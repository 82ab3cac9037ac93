from __future__ import annotations

import json

import pytest

from serve_apps.model_server.repeated_keys import repeated_key

_KEYS = ("model_name", "alias")


@pytest.mark.parametrize(
    "body",
    [
        '{"model_name": "a", "inputs": []}',
        "{}",
        "[]",
        '["model_name", "model_name"]',
        '"model_name"',
        "1",
        # Twice in the text, once in the object.
        '{"model_name": "a", "inputs": {"model_name": ["b"]}}',
        '{"model_name": "model_name"}',
        '{"inputs": [{"alias": 1}, {"alias": 2}], "alias": "x"}',
        '{"inputs": {"alias": 1, "alias": 2}}',
        '{"other": 1, "other": 2}',
    ],
)
def test_single_key_is_not_repeated(body: str) -> None:
    assert repeated_key(body.encode(), _KEYS) is None


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"model_name": "a", "model_name": "b"}', "model_name"),
        ('{"model_name": "a", "model_name": "a"}', "model_name"),
        ('{"alias": "a", "inputs": {"alias": 1}, "alias": null}', "alias"),
        ('{"alias": 1, "model_name": 1, "alias": 2, "model_name": 2}', "model_name"),
        ('{"model_name"\n:"a",\t"model_name" :"b"}', "model_name"),
    ],
)
def test_repeated_key_is_named(body: str, key: str) -> None:
    assert repeated_key(body.encode(), _KEYS) == key


def test_too_deep_object_counts_as_repeated() -> None:
    """A refusal is better than an ambiguous reading."""
    depth = 200_000
    body = f'{{"model_name": "a", "inputs": {"[" * depth}{"]" * depth}, "model_name": "b"}}'.encode()
    assert repeated_key(body, _KEYS) == "model_name"
    assert repeated_key(json.dumps({"model_name": "a"}).encode(), _KEYS) is None
