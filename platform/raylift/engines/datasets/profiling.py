"""Profiles of datasets, computed in a confined process."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic import TypeAdapter

from job_entrypoints import contract
from job_entrypoints.contract import REFUSED_PORTS_VARIABLE
from raylift.domain.datasets.dataset import DataFile, Profile

log = logging.getLogger(__name__)

_SCRIPT: Final = Path(__file__).with_name("table_profile.py")
_CONFINE: Final = Path(contract.__file__).parent / "sandbox" / "build.py"
_SECONDS: Final = 60.0
_FETCHED_BYTES: Final = 256 * 1024**2
"""Largest version that is fetched from an object store for its profile."""
_PROFILE: Final[TypeAdapter[Profile]] = TypeAdapter(Profile)


def profile_of(
    files: Sequence[DataFile],
    paths: Sequence[Path | None],
    fetch: Callable[[DataFile], BinaryIO],
    *,
    within: Sequence[Path] = (),
    protected: Sequence[Path] = (),
) -> Profile:
    """Return the profile of a version. It never fails: a sentence in it says what is missing.

    Args:
        files: the files of the version.
        paths: their paths on this machine; None for those that ``fetch`` has to open.
        fetch: opens a file.
        within: folders of files that others may replace by links: nothing outside of them is read.
        protected: folders that are hidden, also inside of ``within``.
    """
    with tempfile.TemporaryDirectory(prefix="raylift-profile-") as folder:
        if any(path is None for path in paths):
            if sum(file.size_bytes for file in files) > _FETCHED_BYTES:
                return Profile(note=f"Not profiled: it is in an object store, and larger than {_FETCHED_BYTES // 2**20} MiB.")
            try:
                paths = [_fetched(fetch(file), Path(folder, str(index))) for index, file in enumerate(files)]
            except OSError as error:
                log.warning("the files of a profile cannot be fetched: %s", error)
                return Profile(note="Not profiled: its files could not be fetched from the object store.")
        named = [(file.path, str(path)) for file, path in zip(files, paths, strict=True)]
        return _run(named, folder, [str(path) for path in within], [str(path) for path in protected])


def _fetched(source: BinaryIO, target: Path) -> Path:
    with source, target.open("wb") as copy:
        while chunk := source.read(1 << 20):
            copy.write(chunk)
    return target


def _run(named: list[tuple[str, str]], folder: str, within: list[str], protected: list[str]) -> Profile:
    python = {*(sysconfig.get_paths()[name] for name in ("purelib", "platlib", "stdlib")), sys.prefix, sys.base_prefix}
    request = {
        "read": [*python, str(_SCRIPT), *(within or _folders_of(named))],
        "write": [folder],
        "hide": protected,
        "ports": os.environ.get(REFUSED_PORTS_VARIABLE, ""),  # noqa: TID251 (the launcher's)
    }
    command = [sys.executable, "-I", "-S", str(_CONFINE), json.dumps(request), sys.executable, "-I", str(_SCRIPT)]
    environment = {"PATH": os.defpath, "TMPDIR": folder, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, input=json.dumps(named).encode(), capture_output=True, check=True, timeout=_SECONDS, env=environment
        )
        found: Any = json.loads(done.stdout)
        return _PROFILE.validate_python(found)
    except subprocess.TimeoutExpired:
        return Profile(note=f"Not profiled: it took longer than {_SECONDS:.0f} s.")
    except ValueError as error:
        log.warning("a profile cannot be read: %s", error)
        return Profile(note="Not profiled: reading its files gave no description of them.")
    except subprocess.CalledProcessError as error:
        log.warning("a profile failed with code %s: %s", error.returncode, error.stderr.decode("utf-8", "replace")[-2000:])
        return Profile(note="Not profiled: reading its files took too much memory or time, or failed.")


def _folders_of(named: list[tuple[str, str]]) -> list[str]:
    """Return one path: those of many files would be too long for an argument of a program."""
    return [os.path.commonpath([path for _, path in named])]
