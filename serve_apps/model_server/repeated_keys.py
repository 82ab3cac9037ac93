"""Finds keys that an object in a body has twice. Parsers silently keep one of the two, and not all the same one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from raylift.domain.errors import FieldError, InvalidRequest

_SPACED: Final = re.compile(rb'"\s+:')


def refuse_repeated_keys(body: bytes, parsed: Any) -> None:
    """Check that no object in ``body`` has a key twice.

    Keys are counted: as many colons as parsed pairs prove that no pair was lost. Only a body with more colons, usually in text,
    is parsed again.

    Raises:
        InvalidRequest: An object has a key twice; the message names the key.
    """
    if type(parsed) is not dict:
        return
    colons = body.count(b":")
    if colons == len(parsed) or colons == _pairs_of_two_levels(parsed):
        return
    # At least one closing quote with a colon for each key, unless there is a space between them.
    if body.count(b'":') == _pairs(parsed) and not _SPACED.search(body):
        return
    _refuse_exactly(body)


def _pairs_of_two_levels(parsed: dict[str, Any]) -> int:
    pairs = len(parsed)
    for value in parsed.values():
        if type(value) is dict:
            pairs += len(value)
        elif type(value) is list and value and type(value[0]) is dict:
            pairs += sum(len(item) for item in value if type(item) is dict)
    return pairs


def _pairs(parsed: Any) -> int:
    if type(parsed) is dict:
        return len(parsed) + sum(_pairs(value) for value in parsed.values() if type(value) in (dict, list))
    # Lists that begin with a number are skipped: a count that is too low only means that the body is parsed again.
    if type(parsed) is list and parsed and type(parsed[0]) in (dict, list):
        return sum(map(_pairs, parsed))
    return 0


def _refuse_exactly(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_checked)
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None


def _checked(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(
            f'"{repeated}" is given more than once in one object.', [FieldError(repeated, "is given more than once")]
        )
    return keys


def repeated_key(body: bytes, keys: Sequence[str]) -> str | None:
    """First of ``keys`` that a JSON body's outermost object has twice; None if there is none."""
    suspects = [key for key in keys if body.count(f'"{key}"'.encode()) > 1]
    if not suspects:
        return None
    try:
        parsed: Any = json.loads(body, object_pairs_hook=tuple)
    except RecursionError:
        return suspects[0]
    # The hook makes objects tuples of pairs; lists stay lists.
    names = [pair[0] for pair in parsed] if isinstance(parsed, tuple) else []
    return next((key for key in suspects if names.count(key) > 1), None)
