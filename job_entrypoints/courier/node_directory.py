"""The local directory of an attempt on a node that does not see the platform's own."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tarfile
import tempfile
import time

from job_entrypoints.attempt.record import Attempt, AttemptUnreadable, read_attempt, remove_tree, write_json
from job_entrypoints.contract import ATTEMPT_FILE, DATA_FOLDER, NODE_DIRECTORY_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

_KEPT_SECONDS = 24 * 3600.0


def make_directory(submission_id: str) -> str:
    """Make an empty directory for the attempt.

    Raises:
        AttemptUnreadable: another user could write in its folder, or it cannot be made.
    """
    folder = os.environ.get(NODE_DIRECTORY_VARIABLE) or f"{tempfile.gettempdir()}/raylift-node-{os.geteuid()}"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.lstat(folder)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077 or os.path.islink(folder):
            raise AttemptUnreadable(f"{folder} must be a folder of this user alone; set {NODE_DIRECTORY_VARIABLE} to another")
        _remove_leftovers(folder)
        directory = os.path.join(folder, submission_id)
        remove_tree(directory)
        os.mkdir(directory, mode=0o700)
        # Held by the wrapper's processes until the last one has ended. The script does not inherit it.
        fcntl.flock(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), fcntl.LOCK_SH)
    except OSError as error:
        raise AttemptUnreadable(f"{folder} cannot have the attempt's files: {error}") from error
    return directory


def _remove_leftovers(folder: str) -> None:
    """Remove directories of attempts that ended a day ago and could not be delivered, or whose wrapper was killed."""
    for entry in os.scandir(folder):
        if entry.name == DATA_FOLDER:
            continue
        if not entry.is_dir(follow_symlinks=False) or entry.stat(follow_symlinks=False).st_mtime > time.time() - _KEPT_SECONDS:
            continue
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # It runs.
        else:
            remove_tree(entry.path)
        finally:
            os.close(descriptor)


def unpack(stream: IO[bytes], directory: str) -> None:
    """Unpack a bundle as it comes.

    Raises:
        OSError, tarfile.TarError, http.client.HTTPException: it does not come whole.
        AttemptUnreadable: it leads out of the directory.
    """
    with tarfile.open(fileobj=stream, mode="r|") as bundle:
        for member in bundle:
            path = os.path.normpath(os.path.join(directory, member.name))
            if not path.startswith(directory + "/"):
                raise AttemptUnreadable(f"the bundle has a file outside of the attempt: {member.name}")
            if member.isdir():
                os.makedirs(path, mode=0o700, exist_ok=True)
                continue
            content = bundle.extractfile(member)
            if content is None:
                continue
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, member.mode & 0o700), "wb") as file:
                shutil.copyfileobj(content, file)


def attempt_in(directory: str, origin: str) -> Attempt:
    """Read the attempt that was unpacked in ``directory``. Paths below ``origin``, on the platform's machine, become local.

    Raises:
        AttemptUnreadable: attempt.json is missing or malformed.
    """
    path = os.path.join(directory, ATTEMPT_FILE)
    try:
        with open(path, encoding="utf-8") as file:
            record: dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise AttemptUnreadable(f"{path} cannot be read: {error}") from error
    record["python_path"] = [_moved(folder, origin, directory) for folder in record.get("python_path") or ()]
    if record.get("script_path"):
        record["script_path"] = _moved(record["script_path"], origin, directory)
    record["data_cache"] = os.path.join(os.path.dirname(directory), DATA_FOLDER)
    for each in record.get("data") or ():
        # Paths of the platform's machine mean nothing here.
        each["files"] = [{name: file[name] for name in ("path", "sha256", "bytes")} for file in each["files"]]
    # The other attempts of this node stay closed to the script.
    record["protected_paths"] = [*(record.get("protected_paths") or ()), os.path.dirname(directory)]
    write_json(path, record)
    return read_attempt(directory)


def _moved(path: str, origin: str, directory: str) -> str:
    return directory + path[len(origin) :] if path.startswith(origin + "/") else path
