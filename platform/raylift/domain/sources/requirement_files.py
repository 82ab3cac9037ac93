"""Requirement files as pip reads them: encodings, continued lines, and options that jobs do not support."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

HASHES_DROPPED: Final = (
    "The hashes of requirements are not checked: a job's packages are resolved and locked by name and version "
    "(`raylift jobs show` prints the lock)."
)

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks; of two with the same beginning, the longer one comes first."""
_DECLARED: Final = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")

_SCHEMES: Final = frozenset({"https", "git+https", "http"})

_COMMENT: Final = re.compile(r"(^|\s+)#.*$")
_HASH: Final = re.compile(r"\s+--hash(=|\s+)\S+")
_INCLUDE: Final = re.compile(r"(?:-r|--requirement)(?:\s+|=)(.+)|-r(\S.*)")
_CONSTRAINT: Final = re.compile(r"(-c|--constraint)\b.*")
_EDITABLE: Final = re.compile(r"(?:-e|--editable)(?:\s+|=)?(.+)")
_INDEX: Final = re.compile(r"(-i|--index-url|--extra-index-url|-f|--find-links|--no-index|--trusted-host)\b.*")
_EGG: Final = re.compile(r"((?:\w+\+)?\w[\w+.]*://[^#\s]+)#(?:\S*&)?egg=([\w.-]+)\S*")
_FILE: Final = re.compile(r"([\w.-]+(?:\[.*?\])?)\s*@\s*file:.*", re.IGNORECASE)
_DIRECT: Final = re.compile(r"[\w.-]+\s*(?:\[[^\]]*\])?\s*@\s*(\S+).*")
"""``name @ address``."""
_ADDRESS: Final = re.compile(r"(\w+\+)?\w[\w+.]*://.*")
_PATH: Final = re.compile(r"([.~/\\]|[A-Za-z]:[\\/]).*|[^@]*\.(whl|zip|tar\.gz|tgz)", re.IGNORECASE)


class UnreadableText(ValueError):
    """A file in an unknown encoding. ``line`` counts from 1."""

    def __init__(self, line: int) -> None:
        super().__init__("is not UTF-8; save it as UTF-8")
        self.line = line


@dataclass(frozen=True, slots=True)
class RequirementLine:
    """A logical line of a requirements file: continued lines are joined, comments removed."""

    number: int
    """Number of its first line, from 1."""
    text: str
    hashes: tuple[str, ...] = ()
    """Its ``--hash`` options, which are removed from ``text``."""

    @property
    def with_hashes(self) -> str:
        return " ".join((self.text, *self.hashes))

    @property
    def included(self) -> str | None:
        """The file that the line includes with ``-r``."""
        found = _INCLUDE.fullmatch(self.text)
        return (found[1] or found[2]).strip() if found else None


def decode_requirements(raw: bytes) -> str:
    """Decode a requirements file: UTF-8, a declared encoding, or UTF-16 as PowerShell writes it.

    Comments may hold other bytes.

    Raises:
        UnreadableText: a requirement holds bytes that cannot be decoded.
    """
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), None) or _without_mark(raw)
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError):
        text = raw.decode("latin-1")
    for number, line in enumerate(text.splitlines(), 1):
        if not _COMMENT.sub("", line).isascii():
            raise UnreadableText(number)
    return text


def requirement_lines(lines: Iterable[str]) -> Iterator[RequirementLine]:
    """Yield the logical lines that are not empty."""
    for number, joined in _joined(lines):
        text = _COMMENT.sub("", joined.strip()).strip()
        bare = _HASH.sub("", text).strip()
        if bare:
            yield RequirementLine(number, bare, tuple(found[0].strip() for found in _HASH.finditer(text)))


def line_problem(text: str) -> str | None:
    """Return why a line cannot be a job's requirement and what to write instead; None where it can.

    The syntax of PEP 508 is not checked here, and not whose addresses may be http (``http_host``).
    """
    shown = repr(text[:200])
    if "$" in text:
        # uv would replace it by a value of the platform's environment and send that away.
        return f"{shown} holds a $, and variables are not replaced: write the value"
    if text.startswith("-"):
        return _option_problem(text, shown)
    if " --" in text:
        option = text[text.index(" --") + 1 :].split("=")[0].split()[0]
        return f"{shown} carries pip's option {option}, which a job cannot have: remove the option"
    if found := _FILE.fullmatch(text):
        return (
            f"{shown} names a file of the machine that wrote it, as `pip freeze` does in a conda environment: write "
            f"{found[1]}==VERSION (`pip list --format=freeze` writes such lines), or remove the line"
        )
    if found := _DIRECT.fullmatch(text):
        return _address_problem(found[1], shown)
    if _ADDRESS.fullmatch(text):
        named = _EGG.fullmatch(text)
        wanted = f"{named[2]} @ {named[1]}" if named else f"NAME @ {text.partition('#')[0]}"
        return f"{shown} is an address without a name: write {wanted!r}"
    if _PATH.fullmatch(text):
        return f"{shown} names a file or directory of your machine: name a version, or an https:// or git+https:// address"
    return None


def http_host(text: str) -> str | None:
    """Return the host of a requirement's ``http://`` address, in lower case; None for other requirements."""
    found = _DIRECT.fullmatch(text)
    parts = _split(found[1]) if found else None
    return (parts.hostname or "") if parts is not None and parts.scheme == "http" else None


def _address_problem(address: str, shown: str) -> str | None:
    parts = _split(address)
    if parts is None or (parts.scheme in _SCHEMES and not parts.hostname):
        return f"{shown} has an address without a host: write https://HOST/… or git+https://HOST/…"
    if parts.scheme in _SCHEMES:
        return None
    if parts.scheme.endswith("file") or "://" not in address:
        return f"{shown} names a file or directory: name a version, or an https:// or git+https:// address"
    return f"{shown} has an address of the kind {parts.scheme}: write an https:// or git+https:// address"


def _split(address: str) -> SplitResult | None:
    try:
        return urlsplit(address)
    except ValueError:
        return None


def _option_problem(text: str, shown: str) -> str:
    if found := _EDITABLE.fullmatch(text):
        if named := _EGG.fullmatch(found[1].strip()):
            return f"{shown} is an editable install: write '{named[2]} @ {named[1]}' instead"
        return (
            f"{shown} installs a project from its directory, which a job does not have: remove the line (`uv export "
            "--no-emit-project` leaves it out), and upload the directory with --entrypoint where the script imports it"
        )
    if _INCLUDE.fullmatch(text):
        return (
            f"{shown} includes a file that did not come along: write its lines here, upload a project, or use "
            "`raylift train -r`, which reads both"
        )
    if _CONSTRAINT.fullmatch(text):
        return (
            f"{shown} names constraints, which a job cannot have: write the versions into the requirements and remove the line"
        )
    if _INDEX.fullmatch(text):
        return f"{shown} names where packages come from, which the platform's own configuration says: remove the line"
    return f"{shown} is an option of pip, not a requirement: remove the line"


def _without_mark(raw: bytes) -> str:
    """Guess the encoding of a file without a byte order mark. In UTF-16 every second byte of ASCII text is zero."""
    if len(raw) % 2 == 0 and b"\0" in raw:
        if not any(raw[0::2]):
            return "utf-16-be"
        if not any(raw[1::2]):
            return "utf-16-le"
    for line in raw.splitlines()[:2]:
        if declared := _DECLARED.match(line):
            return declared[1].decode("ascii")
    return "utf-8"


def _joined(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, logical line). A backslash at the end joins the next line; a comment ends it."""
    start, held = 1, ""
    for number, line in enumerate(lines, 1):
        start = start if held else number
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            held += line[:-1] + " "
        else:
            # As in pip, a comment between continued lines ends them.
            yield start, f"{held} {line}" if is_comment and held else held + line
            held = ""
    if held:
        yield start, held
