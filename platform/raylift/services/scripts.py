"""A script as it was uploaded: decoded, measured and compiled, never run."""

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
from raylift.services.magics import looks_like_a_magic

FIELD: Final = "script_content"

# warnings.catch_warnings changes the state of the whole process: two at a time would restore each other's.
_COMPILING: Final = threading.Lock()


def decode_script(content: str, encoding: Literal["plain", "base64"], *, max_bytes: int) -> bytes | FieldError:
    """The bytes of the script, or what is wrong with it.

    Raises:
        TooLarge: it is larger than ``max_bytes``.
    """
    if encoding == "plain":
        try:
            script = content.encode()
        except UnicodeEncodeError as error:
            return FieldError(FIELD, f"holds half of a surrogate pair at character {error.start}, which UTF-8 cannot express")
    else:
        # Four characters hold three bytes. Measured before decoding: the excess is never built.
        check_size(len(content) * 3 // 4 - 2, max_bytes)
        try:
            script = base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            return FieldError(FIELD, f"is not base64: {error}")
    check_size(len(script), max_bytes)
    return script


def script_error(script: bytes, script_name: str, *, field: str = FIELD) -> FieldError | None:
    """What keeps Python from compiling the script; None when nothing does. Nothing of it is executed."""
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


def _text_error(script: bytes) -> FieldError | None:
    if not script.strip():
        return FieldError(FIELD, "is empty")
    try:
        text = script.decode("utf-8")
    except UnicodeDecodeError as error:
        line = script.count(b"\n", 0, error.start) + 1
        return FieldError(FIELD, f"is not UTF-8: byte 0x{script[error.start]:02x} at offset {error.start}", line=line)
    if "\0" in text:
        return FieldError(FIELD, "holds a null byte", line=text.count("\n", 0, text.index("\0")) + 1)
    return _declaration_error(script, text)


def _declaration_error(script: bytes, text: str) -> FieldError | None:
    """A declared encoding that would make Python read other text than was uploaded."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(script).readline)
    except SyntaxError as error:
        return FieldError(FIELD, f"declares an encoding that Python does not know: {error.msg}", line=1)
    try:
        same = script.decode(encoding) == (text.removeprefix("\ufeff") if encoding == "utf-8-sig" else text)
    except (UnicodeDecodeError, LookupError):
        same = False
    if same:
        return None
    return FieldError(FIELD, f"is UTF-8 but declares the encoding {encoding}: remove the declaration", line=1)


def compile_problem(script: bytes, script_name: str) -> FieldError | None:
    """What Python says about the source of a script or of a notebook's cell; None when it compiles."""
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
        return FieldError(FIELD, f"does not compile: {error.msg} (line {line})", line=line, column=column or None)
    except (RecursionError, MemoryError):
        return FieldError(FIELD, "does not compile: it is nested too deeply")
    except (ValueError, OverflowError) as error:
        return FieldError(FIELD, f"does not compile: {error}")
    return None


def _is_a_magic(script: bytes, line: int) -> bool:
    lines = script.decode("utf-8", "replace").splitlines()
    return 0 < line <= len(lines) and looks_like_a_magic(lines[line - 1])
