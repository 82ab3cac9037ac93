"""Text of others for a terminal: without the characters that a terminal obeys instead of showing them."""

from __future__ import annotations

import re
from typing import Final

_SEQUENCES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor, screen
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC and other strings: title, clipboard, links
    r"|\x1b[ -/]*[0-~]?"  # other sequences
    r"|\x9b[0-?]*[ -/]*[@-~]?"  # CSI and strings in one character
    r"|[\x90\x98\x9d-\x9f].*?(?:\x07|\x1b\\|\x9c|$)",
    re.DOTALL,
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab, line feed and carriage return; marks that reverse the direction of text."""


def printable(text: str) -> str:
    """Return ``text`` without escape sequences and control characters."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))
