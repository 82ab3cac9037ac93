"""Gives rules of ports to the wrappers of one machine, from a thread of the environment agent."""

from __future__ import annotations

import logging
import socket
import threading

from job_entrypoints.linux.landlock import ABI_OF_TCP, Ruleset, abi_version
from job_entrypoints.sandbox.port_rules import is_of_own_user, make_rules, server_address

log = logging.getLogger(__name__)

_LONGEST_QUESTION = 4096
_QUESTION_SECONDS = 1.0
_MOST_SETS = 8
"""Sets of rules that are kept: one for each list of ports that a platform has had since Ray's start."""


def serve_rules(instance: str) -> bool:
    """Start the server. Returns False where it is not needed: another agent has it, or Landlock has no rules of ports."""
    if abi_version() < ABI_OF_TCP:
        return False
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(server_address(instance))
        listener.listen(64)
    except OSError:
        listener.close()
        return False
    threading.Thread(target=_serve, args=(listener,), name="port-rules", daemon=True).start()
    return True


def _serve(listener: socket.socket) -> None:
    kept: dict[str, Ruleset] = {}
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.settimeout(_QUESTION_SECONDS)
                if is_of_own_user(connection):
                    _answer(connection, kept)
            except (OSError, ValueError) as error:
                log.warning("no rules of ports were given: %s", error)


def _answer(connection: socket.socket, kept: dict[str, Ruleset]) -> None:
    ports = connection.recv(_LONGEST_QUESTION).decode()
    rules = kept.get(ports)
    if rules is None:
        if len(kept) >= _MOST_SETS:
            kept.pop(next(iter(kept))).close()
        rules = kept[ports] = make_rules(ports)
    socket.send_fds(connection, [b"r"], [rules.descriptor])
