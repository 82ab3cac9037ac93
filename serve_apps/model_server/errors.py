"""Errors of a prediction request. Each protocol's codec writes them as its clients expect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from raylift.domain.errors import InvalidRequest, NotFound, PlatformError, TooLarge

# PlatformError
# ├── MalformedBody           400  the body cannot be parsed
# ├── UnsupportedContent      415  content type or encoding that the route does not take
# ├── BodyTooLarge            413
# ├── WrongInputs             422  parsed, but not what the model wants; ``errors`` names each column
# ├── NoProbabilities         422  requested from a model without probabilities
# ├── InputsRefused           422  the model raised an error that the inputs explain
# ├── PredictionFailed        500  the model raised an error that the inputs do not explain
# │   └── UnusableOutput      500  its output has no form in the protocol; the message describes it
# ├── ReplicaFault            500  an unexpected error of the replica
# ├── ProcessesDied           502  the processes that computed the request died
# ├── RouteNotFound           404
# └── MethodNotAllowed        405  ``allow`` lists the methods


class MalformedBody(PlatformError):
    code = "malformed_body"


class UnsupportedContent(PlatformError):
    code = "unsupported_content"


class BodyTooLarge(TooLarge):
    pass


class WrongInputs(InvalidRequest):
    """Wrong inputs. The fact ``wants`` describes the right ones."""

    code = "wrong_inputs"


class NoProbabilities(InvalidRequest):
    code = "no_probabilities"


class InputsRefused(InvalidRequest):
    code = "inputs_refused"


class PredictionFailed(PlatformError):
    code = "prediction_failed"


class UnusableOutput(PredictionFailed):
    pass


class ReplicaFault(PlatformError):
    code = "internal_error"


class ProcessesDied(PlatformError):
    code = "replica_failed"


class RouteNotFound(NotFound):
    pass


class MethodNotAllowed(PlatformError):
    code = "method_not_allowed"


_STATUS: Final[Mapping[type[PlatformError], int]] = {
    MalformedBody: 400,
    UnsupportedContent: 415,
    TooLarge: 413,
    InvalidRequest: 422,
    PredictionFailed: 500,
    ProcessesDied: 502,
    NotFound: 404,
    MethodNotAllowed: 405,
}


def status_of(error: PlatformError) -> int:
    """HTTP status of an error: that of its nearest listed base class."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500


_LONGEST: Final = 500
_TRACES: Final = re.compile(
    r"(?:\bStack trace:|Traceback \(most recent call last\)|\bException raised from\b|C\+\+ Traceback|\bframe #0:).*", re.DOTALL
)
_GRAPH: Final = re.compile(r"Graph execution error:\s*Detected at node.*\n[ \t]*\n", re.DOTALL)
"""TensorFlow's trace of the code that made a node. The message follows after an empty line."""
_SOURCES: Final = re.compile(r"(?:\[\d\d:\d\d:\d\d\]\s*)?[\w./\\+-]*\.(?:cc|cpp|cxx|cu|cuh|hpp|h|pyx|py):\d+:?\s*")
_PATHS: Final = re.compile(r"(?<![\w:/.])(?:/[\w.+@ -]*[\w.+@-])+/([\w.+@-]+)")


def describe_error(error: BaseException) -> str:
    """A library's error as one line for clients: its class and message, without traces, source lines and server paths."""
    text = error.args[0] if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str) else str(error)
    text = _GRAPH.sub("", text)
    text = _TRACES.sub("", text)
    text = _SOURCES.sub("", text)
    text = _PATHS.sub(r"\1", text)
    text = " ".join(text.split())
    message = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"{type(error).__name__}: {message}".removesuffix(": ")
