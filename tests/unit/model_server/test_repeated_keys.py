"""A repeated key of an object is refused at any place. Bodies that only look so are read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylift.domain.errors import InvalidRequest
from serve_apps.model_server.jsonify import dumps, loads


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"inputs": [[1]], "inputs": [[2]]}', "inputs"),
        (b'{"inputs": {"a": [1], "b": [2], "a": [3]}}', "a"),
        (b'{"inputs": [{"a": 1}, {"a": 2, "a": 3}]}', "a"),
        (b'{"inputs": [{"a": 1, "b": ":x", "a" : 3}]}', "a"),
        (b'{"inputs": [{"a" :1,"a":2,"t":"12:30"}]}', "a"),
        (b'{"inputs": {"t": ["12:00:00", "\\":"], "t": ["13:00:00", ":"]}}', "t"),
        (b'{"inputs": [[{"a": 1, "a": 2}]]}', "a"),
        (b'{"inputs": [1, {"a": 1, "a": 2}]}', "a"),
        (b'{"inputs": [{"name": "x", "parameters": {"p": 1, "p": 2}, "data": [1]}]}', "p"),
        ('{"inputs": {"größe": 1, "gr\\u00f6\\u00dfe": 2}}'.encode(), "größe"),
        (b'{"inputs": {"a": NaN, "a": 1}}', "a"),
    ],
)
def test_repeated_key_is_refused_by_name(body: bytes, key: str) -> None:
    with pytest.raises(InvalidRequest, match=f'"{key}" is given more than once'):
        loads(body)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"a": ":", "b" : "\\":", "c":[{"d" :1}]}', {"a": ":", "b": '":', "c": [{"d": 1}]}),
        (b'{"inputs": [[1, {"a": 1}], [2, {"a": 2}]]}', {"inputs": [[1, {"a": 1}], [2, {"a": 2}]]}),
        (b'{"inputs": [{"a": 1}, {"a": 2}], "params": {"a": 3}}', {"inputs": [{"a": 1}, {"a": 2}], "params": {"a": 3}}),
        (b'[{"a": 1}]', [{"a": 1}]),
    ],
)
def test_keys_that_only_look_repeated_are_read(body: bytes, read: Any) -> None:
    assert loads(body) == read


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('":\\ a', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('":\\ ab', max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text('":\\ ab', max_size=3), _JSON, max_size=3))
def test_every_body_of_single_keys_is_read(value: dict[str, Any]) -> None:
    assert loads(dumps(value)) == value
