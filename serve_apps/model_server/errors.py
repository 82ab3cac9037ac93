"""What can be wrong with a prediction request. Each protocol's codec gives these the shape its clients expect.

PlatformError
├── MalformedBody           400  the body cannot be read at all
├── UnsupportedContent      415  a content type this route does not take
├── BodyTooLarge            413
├── WrongInputs             422  readable, but not what the model wants; ``errors`` names each column
├── NoProbabilities         422  asked of a model that has none
├── InputsRefused           422  the model itself raised on these inputs
├── PredictionFailed        500  the model raised something that inputs do not explain
│   └── UnusableAnswer      500  it answered what cannot be passed on; the message says what came
├── ReplicaFault            500  the replica itself is wrong
├── ProcessesDied           502  the processes that worked on the request died
├── RouteNotFound           404
└── MethodNotAllowed        405  ``allow`` lists the methods
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from raylift.domain.errors import InvalidRequest, NotFound, PlatformError, TooLarge


class MalformedBody(PlatformError):
    code = "malformed_body"


class UnsupportedContent(PlatformError):
    code = "unsupported_content"


class BodyTooLarge(TooLarge):
    pass


class WrongInputs(InvalidRequest):
    """Carries ``wants``: a description of the inputs that would be right."""

    code = "wrong_inputs"


class NoProbabilities(InvalidRequest):
    code = "no_probabilities"


class InputsRefused(InvalidRequest):
    code = "inputs_refused"


class PredictionFailed(PlatformError):
    code = "prediction_failed"


class UnusableAnswer(PredictionFailed):
    pass


class ReplicaFault(PlatformError):
    code = "internal_error"


class ProcessesDied(PlatformError):
    code = "replica_failed"


class RouteNotFound(NotFound):
    pass


class MethodNotAllowed(PlatformError):
    code = "method_not_allowed"


_STATUS: Final[Mapping[type[PlatformError], int]] = MappingProxyType(
    {
        MalformedBody: 400,
        UnsupportedContent: 415,
        TooLarge: 413,
        InvalidRequest: 422,
        PredictionFailed: 500,
        ProcessesDied: 502,
        NotFound: 404,
        MethodNotAllowed: 405,
    }
)


def status_of(error: PlatformError) -> int:
    """The HTTP status of an error; its nearest listed ancestor decides."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500
