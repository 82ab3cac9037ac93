"""Values of secrets never appear in a script's output, however it is cut into portions."""

from __future__ import annotations

import base64
import json
import os
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_entrypoints.attempt.masking import Mask
from job_entrypoints.attempt.output import Output

VALUE = "hunter2/ü+ pass"


def masked(values: list[str], *portions: bytes) -> bytes:
    mask = Mask(values)
    return b"".join(mask.apply(portion) for portion in portions) + mask.flush()


@given(
    value=st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=12),
    before=st.binary(max_size=20),
    after=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_value_is_masked_in_any_portions(value: str, before: bytes, after: bytes, cuts: list[int]) -> None:
    text = before + value.encode() + after
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    portions = [text[first:last] for first, last in pairwise(edges)]
    assert value.encode() not in masked([value], *portions)


@given(text=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_other_output_is_unchanged(text: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    portions = [text[first:last] for first, last in pairwise(edges)]
    assert masked(["a value that does not occur"], *portions) == text


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"password": VALUE}),
        json.dumps({"password": VALUE}, ensure_ascii=False),
        repr({"password": VALUE}),
        f"https://user:{quote(VALUE, safe='')}@host/",
        *(base64.b64encode(f"{'u' * length}:{VALUE}".encode()).decode() for length in range(3)),
    ],
)
def test_encoded_value_is_masked(text: str) -> None:
    shown = masked([VALUE], text.encode())
    assert b"***" in shown
    assert b"hunter2" not in shown


def test_each_line_of_a_value_is_masked() -> None:
    shown = masked(["-----BEGIN KEY-----\nMIIabcdef\n-----END KEY-----\n"], b"[log] MIIabcdef\n[log] other\n")
    assert shown == b"[log] ***\n[log] other\n"


def test_short_values_are_not_masked() -> None:
    assert masked(["1", "abc"], b"1 abc\n") == b"1 abc\n"


def test_longer_of_two_values_is_masked_first() -> None:
    assert masked(["secret", "secret-two"], b"secret-two secret\n") == b"*** ***\n"


def test_wrapper_speaks_on_a_line_of_its_own(tmp_path: Path) -> None:
    sink = os.open(tmp_path / "stdout", os.O_RDWR | os.O_CREAT)
    output = Output(str(tmp_path), 1000, sink, Mask(["hunter2"]))
    output.write(b"password: hunt")
    output.say("stopped")
    output.finish()
    os.close(sink)
    assert (tmp_path / "output.log").read_bytes() == b"password: hunt\n[raylift] stopped\n"
