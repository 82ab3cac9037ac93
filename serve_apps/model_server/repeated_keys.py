"""Refuses a body in which one object has a key twice: parsers keep the last of them silently.

Keys are counted rather than read: as many colons as parsed pairs prove that none was lost. Only a body with more of them (in
text, as a rule) is looked at again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from raylift.domain.errors import FieldError, InvalidRequest

_SPACED: Final = re.compile(rb'"\s+:')


def refuse_repeated_keys(body: bytes, parsed: Any) -> None:
    """Check that ``parsed`` has every key of ``body``.

    Raises:
        InvalidRequest: An object of it has a key twice; the message names the key.
    """
    if type(parsed) is not dict:
        return
    colons = body.count(b":")
    if colons == len(parsed) or colons == _pairs_of_two_levels(parsed):
        return
    # A closing quote and a colon: at least one for each key that is written without a space between.
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
    # Lists of numbers are passed by: fewer pairs than there are only mean that the body is read again.
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
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(
            f'"{twice}" is given more than once in one object.', [FieldError(twice, "is given more than once")]
        )
    return keys
