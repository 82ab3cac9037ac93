"""Files of inputs and outputs: on this machine, or in S3.

Credentials for S3 are the usual variables of the job: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pyarrow import fs

from serve_apps.batch.errors import BatchFailed

_S3: Final = "s3://"
_PATTERN: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a file system."""

    files: fs.FileSystem
    path: str
    is_local: bool = True

    def at(self, path: str) -> Place:
        """Return another path of the same file system."""
        return Place(self.files, path, self.is_local)

    @property
    def shown(self) -> str:
        return self.path if self.is_local else f"{_S3}{self.path}"

    def exists(self) -> bool:
        return self.info().type is not fs.FileType.NotFound

    def info(self) -> fs.FileInfo:
        return self.files.get_file_info(self.path)


def place_of(location: str) -> Place:
    """Return the place of a path or of ``s3://bucket/key``."""
    if not location.startswith(_S3):
        return Place(fs.LocalFileSystem(), location)
    environ = os.environ  # noqa: TID251 - the job's variables
    endpoint = urlsplit(environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or "")
    options = {"scheme": endpoint.scheme, "endpoint_override": endpoint.netloc} if endpoint.netloc else {}
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    files = fs.S3FileSystem(region=region or ("us-east-1" if options else None), **options)
    return Place(files, location.removeprefix(_S3), is_local=False)


def files_at(place: Place) -> Iterator[fs.FileInfo]:
    """Yield the files of a file, a folder with all below it, or a pattern with ``*``, ``?`` and ``**``.

    Hidden files, and those whose names begin with an underscore, are left out of folders.

    Raises:
        BatchFailed: There is nothing, or it cannot be read.
    """
    path = place.path.rstrip("/")
    try:
        if _PATTERN.search(path):
            matching, base = re.compile(_regex(path)), _fixed_part(path)
            found = [each for each in _below(place.at(base), base) if matching.fullmatch(each.path)]
        else:
            info = place.files.get_file_info(path)
            found = list(_below(place, path)) if info.type is fs.FileType.Directory else [info]
    except OSError as error:
        raise unreadable(place.shown, error) from error
    except re.error as error:
        raise BatchFailed(f"The pattern {place.shown} cannot be read: {error}. Mend what stands in brackets.") from error
    if not found or found[0].type is fs.FileType.NotFound:
        raise BatchFailed(f"There is no file at the input {place.shown}. Check the path, and who may read it.")
    return iter(sorted(found, key=_path_of))


def _path_of(info: fs.FileInfo) -> str:
    return info.path


def unreadable(path: str, error: OSError) -> BatchFailed:
    """Return the error of a path that cannot be read."""
    if isinstance(error, PermissionError):
        return BatchFailed(
            f"{path} may not be read by the batch's process. Give other users the right to read it and to enter its folders."
        )
    return BatchFailed(f"{path} cannot be read: {str(error).splitlines()[0]}")


def require_within(path: str, roots: Sequence[str], *, does: str, setting: str) -> None:
    """Raise BatchFailed where a local path, with its links followed, lies in none of the folders."""
    real = os.path.realpath(path)
    if any(_is_within(real, os.path.realpath(root)) for root in roots):
        return
    raise BatchFailed(f"{path} is outside of the folders that batches may {does}. An operator can add one to {setting}.")


def _is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _below(place: Place, base: str) -> Iterator[fs.FileInfo]:
    for info in place.files.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True)):
        names = info.path.removeprefix(base).strip("/").split("/")
        if info.type is fs.FileType.File and not any(name.startswith((".", "_")) for name in names):
            yield info


def _fixed_part(pattern: str) -> str:
    """Return the folders before the first one with a wildcard."""
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if _PATTERN.search(part))
    return "/".join(parts[:first]) or "/"


def _regex(pattern: str) -> str:
    made = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^]]+\]|.", pattern, re.DOTALL):
        made += _WILDCARDS.get(part) or (part.replace("[!", "[^") if len(part) > 1 else re.escape(part))
    return made


_WILDCARDS: Final = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
