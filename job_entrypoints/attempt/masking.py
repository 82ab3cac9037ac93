"""Replaces the values of secrets in what a script prints.

A value is also found in its usual encodings: JSON, Python's repr, URLs and base64. Imported only for scripts with secrets.
"""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = b"***"
_SHORTEST = 4
"""Bytes: shorter values, and lines of values, would mask words of every log."""
_SHORTEST_IN_BASE64 = 8


class Mask:
    """Masks a stream. Bytes that may be the beginning of a value are held back until more have come."""

    def __init__(self, values: Iterable[str]) -> None:
        self._forms = sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._forms))) if self._forms else None
        self._held = b""

    @property
    def holds_back(self) -> bool:
        return bool(self._held)

    def apply(self, data: bytes) -> bytes:
        """Return what can be shown of the stream now."""
        if self._pattern is None:
            return data
        data = self._pattern.sub(MASK, self._held + data)
        cut = len(data) - self._begun(data)
        self._held = data[cut:]
        return data[:cut]

    def flush(self) -> bytes:
        """Return the rest of the stream."""
        rest, self._held = self._held, b""
        return rest

    def text(self, text: str | None) -> str | None:
        """Mask a whole text."""
        if text is None or self._pattern is None:
            return text
        return self._pattern.sub(MASK, text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def _begun(self, data: bytes) -> int:
        """The length of the longest end of ``data`` that is the beginning of a value."""
        return max((_begun(data, form) for form in self._forms), default=0)


def _begun(data: bytes, form: bytes) -> int:
    start = max(len(data) - len(form) + 1, 0)
    while (start := data.find(form[:1], start)) >= 0:
        if form.startswith(data[start:]):
            return len(data) - start
        start += 1
    return 0


def _forms(value: str) -> Iterator[bytes]:
    """Every form of a value that is masked."""
    # A log has lines, and other text may stand before each of them.
    for part in {value, *value.splitlines(), *(line.strip() for line in value.splitlines())}:
        raw = part.encode("utf-8", "surrogatepass")
        if len(raw) < _SHORTEST:
            continue
        yield raw
        yield from (text.encode("utf-8", "surrogatepass") for text in _escaped(part))
        yield quote(raw, safe="").encode()
        yield quote(raw).encode()
        yield quote_plus(raw).encode()
        if len(raw) >= _SHORTEST_IN_BASE64:
            yield from _in_base64(raw)


def _escaped(part: str) -> Iterator[str]:
    yield repr(part)[1:-1]
    yield json.dumps(part)[1:-1]
    yield json.dumps(part, ensure_ascii=False)[1:-1]


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """The characters that depend on ``raw`` alone, wherever it stands in the encoded text."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        yield encoded[first:last]
        yield encoded[first:last].translate(bytes.maketrans(b"+/", b"-_"))
