"""Sends the output of a Ray worker to the script's process, which prints it into the job's log.

Ray's log monitor does this for all processes of a node. The platform runs none: it reads the files of every replica again and
again. Here a thread of each worker reads its own two files.
"""

from __future__ import annotations

import importlib
import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

_PAUSE_SECONDS = 0.1
_LINES_AT_ONCE = 200
_MOST_BYTES = 1 << 20
"""Bytes of one reading at most. More comes with the next."""
_NAMES = ((":actor_name:", "actor_name"), (":task_name:", "task_name"))
"""Lines by which Ray marks whose output follows."""
_MARKS = (":job_id:",)


def forward_output() -> None:
    """Publish the lines that this worker prints from now on, as Ray's log monitor would."""
    files = [_Output(os.readlink(f"/proc/self/fd/{number}"), is_err=number == 2) for number in (1, 2)]
    threading.Thread(target=_forward, args=(files,), name="raylift-output", daemon=True).start()


class _Output:
    """One of a worker's log files."""

    def __init__(self, path: str, *, is_err: bool) -> None:
        self.is_err = is_err
        self.names: dict[str, str | None] = {"actor_name": None, "task_name": None}
        self._rest = b""
        self._file: BinaryIO | None = open(path, "rb") if os.path.isfile(path) else None  # noqa: SIM115 - until the process ends
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def batches(self) -> list[dict[str, Any]]:
        """Return what is new, by whose output it is."""
        found: list[dict[str, Any]] = []
        for line in self._new_lines():
            name = next(((kind, line.removeprefix(mark)) for mark, kind in _NAMES if line.startswith(mark)), None)
            if name is not None:
                self.names = {"actor_name": None, "task_name": None, name[0]: name[1]}
            elif not line.startswith(_MARKS):
                if not found or found[-1]["names"] is not self.names or len(found[-1]["lines"]) >= _LINES_AT_ONCE:
                    found.append({"names": self.names, "lines": []})
                found[-1]["lines"].append(line)
        return [{"is_err": self.is_err, "lines": batch["lines"], **batch["names"]} for batch in found]

    def _new_lines(self) -> list[str]:
        data = self._file.read(_MOST_BYTES) if self._file is not None else b""
        if not data:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]


def _forward(files: list[_Output]) -> None:
    ray, store = importlib.import_module("ray"), importlib.import_module("ray.experimental.internal_kv")
    pause = threading.Event()
    while not pause.wait(_PAUSE_SECONDS):
        if not ray.is_initialized():
            continue
        found = [batch for file in files for batch in file.batches()]
        about = _about(ray) if found else {}
        for batch in found:
            try:
                store.internal_kv_get_gcs_client().publish_logs({**about, **batch})
            except Exception:  # noqa: BLE001, S112 - Ray's own kinds, while its head restarts: the lines are in Ray's logs
                continue


def _about(ray: Any) -> dict[str, Any]:
    """Return whose lines they are, as Ray's log monitor says it."""
    return {"ip": ray.util.get_node_ip_address(), "pid": os.getpid(), "job": ray.get_runtime_context().get_job_id()}
