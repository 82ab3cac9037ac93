"""The one door to the network: sends requests, retries what may be retried, turns answers that say no into exceptions."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from raylift.api.headers import OWNER_HEADER, SCALE_UP_TIMEOUT
from raylift.api.problems import ProblemField
from raylift.client.http.clock import Clock
from raylift.client.http.errors import (
    APIError,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    ServerError,
    TooLarge,
    Unavailable,
)
from raylift.domain.backoff import backoff
from raylift.domain.errors import DeploymentUnhealthy

View = TypeVar("View", bound=BaseModel)

ATTEMPTS: Final = 4
"""Times a request is sent before its failure is believed, with 0.25, 0.5 and 1 seconds between."""
_FIRST_PAUSE: Final = 0.25
_CONNECT_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 5.0
"""What an answer may take beyond the time that the platform was given to wait for a replica."""


_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_LOST_ON_THE_WAY: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.CloseError)
_PASSING: Final = frozenset({502, 503, 504})
"""Statuses of a platform, or a proxy in front of it, that may have recovered a moment later."""

_ERRORS: Final[Mapping[int, type[APIError]]] = {
    400: InvalidRequest,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: InvalidRequest,
    429: Unavailable,
    503: Unavailable,
}


@dataclass(frozen=True, slots=True)
class Content:
    """A body that is sent as it is."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Form:
    """A body of multipart/form-data."""

    fields: Mapping[str, str]
    files: Mapping[str, tuple[str, bytes, str]]
    """Name of the part: (file name, content, media type)."""


class Connection:
    """Kept-alive connections to one platform. Safe to use from several threads."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None,
        owner: str | None,
        timeout: float,
        transport: httpx.BaseTransport | None,
        clock: Clock,
    ) -> None:
        url = httpx.URL(base_url.rstrip("/"))
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError(f"{base_url!r} is not the address of a platform: write http://HOST:PORT")
        self.base_url = str(url)
        self.clock = clock
        self._timeout = timeout
        self._http = httpx.Client(
            base_url=url,
            headers={
                "Accept": "application/json",
                **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
                **({OWNER_HEADER: owner} if owner else {}),
            },
            transport=transport,
            # A proxy that the environment names has no way to this machine's own loopback.
            trust_env=url.host not in {"127.0.0.1", "localhost", "::1"},
        )

    def close(self) -> None:
        self._http.close()

    def view(self, kind: type[View], method: str, path: str, **how: Any) -> View:
        """The answer of ``json``, as a wire schema."""
        return self.parse(kind, self.json(method, path, **how), method, path)

    def parse(self, kind: type[View], answer: Any, method: str, path: str) -> View:
        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise self._not_understood(f"is not a {kind.__name__}: {said}", 200, method, path) from error

    def json(self, method: str, path: str, **how: Any) -> Any:
        """The JSON of the answer to ``send``; None for an empty one."""
        response = self.send(method, path, **how)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            start = response.text[:200]
            raise self._not_understood(f"is not JSON: {start!r}", response.status_code, method, path) from error

    def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Form | None = None,
        content: Content | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        resend: bool | None = None,
        patience: float | None = None,
    ) -> httpx.Response:
        """Send a request and return its answer.

        ``resend`` says whether the request does no harm when it arrives twice; None: when it is a GET. ``patience`` are the
        seconds that all of it may take: the platform is told how long it may wait for a replica, and its answer "not now,
        try again after …" is obeyed while they last.

        Raises:
            ConnectionFailed: No answer.
            APIError: An answer of 300 or above, as the class of its status.
        """
        resend = method == "GET" if resend is None else resend
        deadline = None if patience is None else self.clock.now() + patience
        failures = 0
        while True:
            left = None if deadline is None else max(deadline - self.clock.now(), 1.0)
            scale_up = {} if left is None else {SCALE_UP_TIMEOUT: str(math.ceil(left))}
            limits = self._limits(timeout if left is None else left + _GRACE_SECONDS)
            request = self._http.build_request(
                method,
                path,
                json=json,
                content=content.data if content else None,
                data=form.fields if form else None,
                files=form.files if form else None,
                params=_given(params),
                headers={**({"Content-Type": content.media_type} if content else {}), **(headers or {}), **scale_up},
                timeout=limits,
            )
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                failures += 1
                if failures >= ATTEMPTS or not _may_be_sent_again(error, resend):
                    raise self._no_answer(error, request) from error
                self.clock.sleep(backoff(failures, first=_FIRST_PAUSE))
                continue
            if response.is_success:
                return response
            refusal = _error_of(response)
            told = self._told_to_wait(refusal, deadline)
            failures += told is None
            if told is None and (failures >= ATTEMPTS or not resend or refusal.status not in _PASSING):
                raise refusal
            self.clock.sleep(backoff(failures, first=_FIRST_PAUSE) if told is None else told)

    @contextmanager
    def stream(
        self, path: str, *, params: Mapping[str, Any], headers: Mapping[str, str], silence: float
    ) -> Generator[httpx.Response]:
        """An answer that is read as it comes. Sent once; ``silence`` seconds without a byte end it with ConnectionFailed."""
        request = self._http.build_request("GET", path, params=_given(params), headers=headers, timeout=self._limits(silence))
        try:
            response = self._http.send(request, stream=True)
            try:
                if not response.is_success:
                    response.read()
                    raise _error_of(response)
                yield response
            finally:
                response.close()
        except httpx.TransportError as error:
            raise self._no_answer(error, request) from error

    def _told_to_wait(self, refusal: APIError, deadline: float | None) -> float | None:
        """The seconds that Retry-After names; None where nobody waits. Raises the refusal when waiting would be in vain."""
        if deadline is None or not isinstance(refusal, Unavailable):
            return None
        hopeless = refusal.code == DeploymentUnhealthy.code
        if hopeless or refusal.retry_after is None or self.clock.now() + refusal.retry_after >= deadline:
            raise refusal
        return max(refusal.retry_after, 0.05)

    def _limits(self, timeout: float | None) -> httpx.Timeout:
        seconds = self._timeout if timeout is None else timeout
        return httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))

    def _no_answer(self, error: httpx.TransportError, request: httpx.Request) -> ConnectionFailed:
        late = isinstance(error, httpx.TimeoutException) and not isinstance(error, _NEVER_SENT)
        if late:
            detail = f"{self.base_url} did not answer {request.method} {request.url.path} in time"
        elif isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            why = str(error) or "no connection in time"
            detail = f"Nothing answers at {self.base_url}: {why}. Is the platform up, and is this its URL?"
        else:
            detail = f"The connection to {self.base_url} broke during {request.method} {request.url.path}: {error}"
        return ConnectionFailed(detail, method=request.method, url=str(request.url), timed_out=late)

    def _not_understood(self, what: str, status: int, method: str, path: str) -> APIError:
        return APIError(
            f"The answer to {method} {path} {what}. Is {self.base_url} a Raylift platform, of this SDK's version?",
            status=status,
            code="unexpected_answer",
            method=method,
            url=self.base_url + path,
        )


def _may_be_sent_again(error: httpx.TransportError, resend: bool) -> bool:
    return isinstance(error, _NEVER_SENT) or (resend and isinstance(error, _LOST_ON_THE_WAY))


def _given(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {key: value for key, value in params.items() if value is not None} if params else None


def _error_of(response: httpx.Response) -> APIError:
    status = response.status_code
    problem = _problem_of(response)
    kind = _ERRORS.get(status, ServerError if status >= 500 else APIError)
    return kind(
        str(problem.get("detail") or problem.get("error") or _detail_of(response)),
        status=status,
        code=str(problem.get("code") or f"http_{status}"),
        method=response.request.method,
        url=str(response.request.url),
        errors=[error for item in _list(problem.get("errors")) if (error := _field_of(item)) is not None],
        problem=problem,
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def _problem_of(response: httpx.Response) -> dict[str, Any]:
    try:
        body: object = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType] # JSON


def _detail_of(response: httpx.Response) -> str:
    """A sentence for an answer that is no problem document: a proxy's page, a redirect."""
    if response.is_redirect:
        return f"{response.request.url} redirects to {response.headers.get('Location')}: use that address"
    return " ".join(response.text.split())[:300] or response.reason_phrase or "no explanation was given"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType] # JSON


def _field_of(item: object) -> ProblemField | None:
    try:
        return ProblemField.model_validate(item)
    except ValidationError:
        return None  # Not lost: APIError.problem holds the document as it came.


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; its other form, a date, is not used by the platform."""
    try:
        return None if header is None else max(float(header), 0.0)
    except ValueError:
        return None
