"""Decodes, measures and compiles an uploaded script. It is never run."""

from __future__ import annotations

import base64
import binascii
import io
import threading
import tokenize
import warnings
from dataclasses import replace
from typing import Final, Literal

from raylift.domain.errors import FieldError, TooLarge
from raylift.domain.quantities import format_bytes
from raylift.services.uploads.magics import looks_like_a_magic
from raylift.services.uploads.syntax_versions import other_version

FIELD: Final = "script_content"

# warnings.catch_warnings changes the whole process: two at a time would restore each other's state.
_COMPILING: Final = threading.Lock()


def decode_script(content: str, encoding: Literal["plain", "base64"], *, max_bytes: int) -> bytes | FieldError:
    """Return the bytes of the script, or its error.

    Raises:
        TooLarge: it is larger than ``max_bytes``.
    """
    if encoding == "plain":
        try:
            script = _in_its_encoding(content, content.encode())
        except UnicodeEncodeError as error:
            if error.encoding == "utf-8":
                problem = f"holds half of a surrogate pair at character {error.start}, which UTF-8 cannot express"
                return FieldError(FIELD, problem)
            line = content.count("\n", 0, error.start) + 1
            problem = f"declares the encoding {error.encoding}, which has no {content[error.start]!r}: declare utf-8"
            return FieldError(FIELD, problem, line=line)
    else:
        # Four characters hold three bytes. Checked before decoding, so that no excess is allocated.
        check_size(len(content) * 3 // 4 - 2, max_bytes)
        try:
            script = base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            return FieldError(FIELD, f"is not base64: {error}")
    check_size(len(script), max_bytes)
    return script


def script_error(script: bytes, script_name: str, *, field: str = FIELD) -> FieldError | None:
    """Return the error that keeps Python from compiling the script, or None."""
    error = _text_error(script) or compile_problem(script, script_name)
    return replace(error, field=field) if error else None


def check_size(size: int, max_bytes: int) -> None:
    """Raise TooLarge for a script of ``size`` bytes that is over the limit."""
    if size > max_bytes:
        raise TooLarge(
            f"The script has more than {format_bytes(max_bytes)}, the most that is taken. Read data from files or the "
            "network instead of writing it into the script.",
            limit_bytes=max_bytes,
        )


def encoding_of(script: bytes) -> str:
    """Return the encoding in which Python reads the script; UTF-8 where the declaration is invalid."""
    try:
        declared, _ = tokenize.detect_encoding(io.BytesIO(script).readline)
    except SyntaxError:
        return "utf-8"
    return "utf-8" if declared == "utf-8-sig" else declared


def _in_its_encoding(content: str, in_utf8: bytes) -> bytes:
    """Encode ``content`` as the script declares (PEP 263).

    Raises:
        UnicodeEncodeError: the declared encoding lacks a character.
    """
    try:
        declared, _ = tokenize.detect_encoding(io.BytesIO(in_utf8).readline)
        return in_utf8 if declared.startswith("utf-8") else content.encode(declared)
    except (SyntaxError, LookupError):
        return in_utf8  # ``script_error`` reports the invalid declaration.


def _text_error(script: bytes) -> FieldError | None:
    if not script.strip():
        return FieldError(FIELD, "is empty")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(script).readline)
    except SyntaxError as error:
        undeclared = _undecodable(script, "utf-8") if "declaration" in str(error.msg) else None
        return undeclared or FieldError(FIELD, f"declares an encoding that Python does not know: {error.msg}", line=1)
    error = _undecodable(script, encoding)
    if error is not None:
        return error
    if b"\0" in script:
        return FieldError(FIELD, "holds a null byte", line=script.count(b"\n", 0, script.index(b"\0")) + 1)
    return None


def _undecodable(script: bytes, encoding: str) -> FieldError | None:
    try:
        script.decode(encoding)
    except UnicodeDecodeError as error:
        line = script.count(b"\n", 0, error.start) + 1
        known = "UTF-8" if encoding.startswith("utf-8") else f"{encoding}, which it declares"
        advice = "; declare its encoding in the first line, e.g. # coding: latin-1" if known == "UTF-8" else ""
        problem = f"is not {known}: byte 0x{script[error.start]:02x} at offset {error.start}{advice}"
        return FieldError(FIELD, problem, line=line)
    except (LookupError, UnicodeError):
        return FieldError(FIELD, f"declares {encoding}, which is no encoding of text", line=1)
    return None


def compile_problem(script: bytes, script_name: str) -> FieldError | None:
    """Return the compile error of a script or of a notebook's cell, or None."""
    try:
        with _COMPILING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(script, script_name, "exec", dont_inherit=True)
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset
        if _is_a_magic(script, line):
            detail = (
                f"does not compile: line {line} is a notebook's magic, which Python does not have; upload the notebook itself "
                "(.ipynb), or name packages as requirements and remove the line"
            )
            return FieldError(FIELD, detail, line=line)
        version = other_version(error.msg, _line_of(script, line))
        clause = f": {version}" if version is not None else ""
        return FieldError(FIELD, f"does not compile: {error.msg} (line {line}){clause}", line=line, column=column or None)
    except (RecursionError, MemoryError):
        return FieldError(FIELD, "does not compile: it is nested too deeply")
    except (ValueError, OverflowError) as error:
        return FieldError(FIELD, f"does not compile: {error}")
    return None


def _is_a_magic(script: bytes, line: int) -> bool:
    return looks_like_a_magic(_line_of(script, line))


def _line_of(script: bytes, line: int) -> str:
    """Return a line by its number from 1; empty if there is none."""
    lines = script.decode("utf-8", "replace").splitlines()
    return lines[line - 1] if 0 < line <= len(lines) else ""
