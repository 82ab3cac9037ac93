"""Log lines of the model's process, which its replica writes to Serve's log."""

from __future__ import annotations

import logging
from typing import Any, Final

from serve_apps.model_server.process.channel import Channel

_LONGEST: Final = 32_000
"""Characters of one line, with its traceback."""
OURS: Final = ("serve_apps", "raylift")
_HTTP_SERVER: Final = "uvicorn.error"


class _ToReplica(logging.Handler):
    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        line = {
            "name": record.name,
            "levelno": record.levelno,
            "levelname": record.levelname,
            "pathname": record.pathname,
            "lineno": record.lineno,
            "funcName": record.funcName,
            "created": record.created,
            "msg": self.format(record)[:_LONGEST],
        }
        try:
            self._channel.send({"line": line})
        except (OSError, ValueError):
            self.handleError(record)


def send_log_lines(channel: Channel) -> None:
    """Send the lines of the model server and of its HTTP server's errors."""
    handler = _ToReplica(channel)
    for name, level in (*((name, logging.INFO) for name in OURS), (_HTTP_SERVER, logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def write_log_line(logger: logging.Logger, line: Any) -> None:
    """Write a line of a model's process, which may send anything."""
    try:
        record = logging.makeLogRecord(
            {
                "name": str(line["name"]),
                "levelno": int(line["levelno"]),
                "levelname": str(line["levelname"]),
                "pathname": str(line["pathname"]),
                "filename": str(line["pathname"]).rpartition("/")[2],
                "lineno": int(line["lineno"]),
                "funcName": str(line["funcName"]),
                "created": float(line["created"]),
                "msg": str(line["msg"]),
            }
        )
    except (KeyError, TypeError, ValueError):
        return  # The model's own code wrote it.
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
