"""Process of a replica's model: loads a version, and answers HTTP at the replica's own port.

Started by job_entrypoints/sandbox/model_process.py, confined, without a connection to Ray. It ends with its replica.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import sys
from typing import Any, Final

from job_entrypoints.sandbox.model_process import DESCRIPTORS
from raylift.domain.models.replica import CANNOT_CONFINE, CONFINED_BY, NOT_CONFINED
from serve_apps.model_server.process.channel import Channel, read_memory_file
from serve_apps.model_server.process.log_lines import send_log_lines

_log = logging.getLogger("serve_apps.model_server.process")

_LIBRARIES: Final = (
    "serve_apps.model_server.process.serving",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
"""Imported before the version is known: what each of them needs."""
_LONGEST_ERROR: Final = 20_000


def main() -> int:
    environ = os.environ  # noqa: TID251 - the process belongs to the model
    control, page = map(int, environ.pop(DESCRIPTORS).split(","))
    # Not for programs that the model starts.
    os.set_inheritable(control, False)
    os.set_inheritable(page, False)
    channel = Channel(control)
    send_log_lines(channel)
    with contextlib.suppress(Exception):
        for name in _LIBRARIES:
            importlib.import_module(name)
    asked = channel.receive()
    if asked is None:
        return 1
    message, (spec, stdout, stderr) = asked
    _write_to(stdout, stderr)
    order: dict[str, Any] = json.loads(read_memory_file(spec))
    # Before the model's libraries are imported: they read their variables at import.
    environ.update(order["environment"])
    try:
        _require_confinement()
        # Where it could not be imported, it is tried again here and tells why.
        from serve_apps.model_server.process.serving import ModelServer

        server = ModelServer.load(channel, page, order)
    except Exception as error:  # noqa: BLE001 - loading runs the model's own code, which may raise anything
        _log.exception("The version does not load")
        text = str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
        channel.send({"id": message["id"], "error": text[:_LONGEST_ERROR]})
        return 1
    # Excluded from collection: what is loaded stays.
    gc.collect()
    gc.freeze()
    channel.send({"id": message["id"], "result": None})
    server.run()
    return 0


def _write_to(stdout: int, stderr: int) -> None:
    """Write output to the files of the replica's own."""
    for descriptor, standard in ((stdout, 1), (stderr, 2)):
        os.dup2(descriptor, standard)
        os.close(descriptor)


def _require_confinement() -> None:
    """Check that this process is confined as the settings want, before anything of its model is opened.

    Raises:
        RuntimeError: It is not; the message says why.
    """
    reason, held = os.environ.get(NOT_CONFINED), os.environ.get(CONFINED_BY)  # noqa: TID251 - written before this process started
    if reason is not None:
        raise RuntimeError(f"{CANNOT_CONFINE}: {reason}.")
    _log.info("confined by: %s", held or "nothing")


if __name__ == "__main__":
    # Without waiting for threads of the model.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
