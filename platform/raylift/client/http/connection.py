"""HTTP connection of the SDK: sends requests, retries where that is safe, and raises error answers as exceptions."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from os import PathLike
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from raylift.api.headers import OWNER_HEADER, SCALE_UP_TIMEOUT
from raylift.api.jobs.batches import BatchPage
from raylift.api.jobs.schedules import ScheduleRunPage
from raylift.api.monitoring.monitors import AlertPage, DriftReportPage, QualityWindowPage, WindowPage
from raylift.api.observations import FeedbackPage
from raylift.api.rollouts.rollouts import RolloutPageView
from raylift.api.sweeps import SweepPage
from raylift.api.training import JobPage
from raylift.api.webhooks.webhooks import DeliveryPageView
from raylift.client.http.errors import APIError, ConnectionFailed, Unavailable, error_of
from raylift.domain.backoff import backoff
from raylift.domain.errors import DeploymentUnhealthy

View = TypeVar("View", bound=BaseModel)
Page = TypeVar(
    "Page",
    JobPage,
    BatchPage,
    SweepPage,
    ScheduleRunPage,
    FeedbackPage,
    DeliveryPageView,
    WindowPage,
    QualityWindowPage,
    DriftReportPage,
    AlertPage,
    RolloutPageView,
)

ATTEMPTS: Final = 4
"""Attempts of one request, with pauses of 0.25, 0.5 and 1 seconds."""
_FIRST_PAUSE: Final = 0.25
_CONNECT_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 5.0
"""Added to the time-out of an answer, beyond the seconds that the platform may wait for a replica."""


_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CONNECTION_LOST: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.CloseError)
_TRANSIENT: Final = frozenset({502, 503, 504})
"""Statuses of a platform, or of a proxy in front of it, that a retry may cure."""


_MAY_SEND: Final = ContextVar("may_send", default=True)


@contextmanager
def without_requests() -> Generator[None]:
    """Refuse requests of this thread: an event loop reads what was fetched and must not wait for the network."""
    token = _MAY_SEND.set(False)
    try:
        yield
    finally:
        _MAY_SEND.reset(token)


class Clock:
    """The machine's clock. Tests pass ``Client(clock=…)`` one whose ``sleep`` only advances its ``now``."""

    def now(self) -> float:
        """Monotonic seconds; only differences have a meaning."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Content:
    """Body that is sent unchanged."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Form:
    """Body as multipart/form-data."""

    fields: Mapping[str, str]
    files: Mapping[str, tuple[str, bytes, str]]
    """(file name, content, media type) by name of the part."""


def _trusting(ca: str | PathLike[str] | None) -> ssl.SSLContext | bool:
    """Return the authorities that certificates may be of: those of the file, else of SSL_CERT_FILE or the machine."""
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ValueError(f"{ca} is no file of certificates in PEM: {error.strerror or error}") from error


class Connection:
    """Kept-alive connections to one platform. Thread-safe."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None,
        owner: str | None,
        timeout: float,
        transport: httpx.BaseTransport | None,
        clock: Clock,
        ca: str | PathLike[str] | None = None,
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
            verify=_trusting(ca),
            # A proxy of the environment cannot reach this machine's loopback.
            trust_env=url.host not in {"127.0.0.1", "localhost", "::1"},
        )

    def close(self) -> None:
        self._http.close()

    def view(self, kind: type[View], method: str, path: str, **how: Any) -> View:
        """The JSON of the answer as a ``kind``."""
        return self.parse(kind, self.json(method, path, **how), method, path)

    def pages(self, kind: type[Page], path: str, params: Mapping[str, Any]) -> Iterator[Page]:
        """The pages of a list. Each is fetched when the caller needs it."""
        cursor: str | None = None
        while True:
            page = self.view(kind, "GET", path, params={**params, "cursor": cursor})
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def parse(self, kind: type[View], answer: Any, method: str, path: str) -> View:
        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise self._unexpected(f"is not a {kind.__name__}: {problems}", 200, method, path) from error

    def json(self, method: str, path: str, **how: Any) -> Any:
        """The JSON of the answer; None for an empty one."""
        response = self.send(method, path, **how)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            start = response.text[:200]
            raise self._unexpected(f"is not JSON: {start!r}", response.status_code, method, path) from error

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

        Args:
            method: HTTP method.
            path: Path below the base URL.
            json: Body as JSON.
            form: Body as a form.
            content: Body as it is.
            params: Query; None values are left out.
            headers: Further headers.
            timeout: Seconds for one attempt. None: the client's.
            resend: The request may arrive twice. None: only a GET may.
            patience: Seconds for the whole call, with retries after Retry-After. The platform may wait so long for a replica.

        Raises:
            ConnectionFailed: No answer.
            APIError: An answer of 300 or above, as the class of its status.
        """
        if not _MAY_SEND.get():
            raise RuntimeError("this needs a request: await refresh() first")
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
                params=_without_none(params),
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
            refusal = error_of(response)
            retry_after = self._retry_after(refusal, deadline)
            failures += retry_after is None
            if retry_after is None and (failures >= ATTEMPTS or not resend or refusal.status not in _TRANSIENT):
                raise refusal
            self.clock.sleep(backoff(failures, first=_FIRST_PAUSE) if retry_after is None else retry_after)

    @contextmanager
    def stream(
        self, path: str, *, params: Mapping[str, Any], headers: Mapping[str, str], silence: float
    ) -> Generator[httpx.Response]:
        """Streamed answer of a GET, without retries. Raises ConnectionFailed after ``silence`` seconds without a byte."""
        request = self._http.build_request(
            "GET", path, params=_without_none(params), headers=headers, timeout=self._limits(silence)
        )
        try:
            response = self._http.send(request, stream=True)
            try:
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                yield response
            finally:
                response.close()
        except httpx.TransportError as error:
            raise self._no_answer(error, request) from error

    def _retry_after(self, refusal: APIError, deadline: float | None) -> float | None:
        """Seconds of Retry-After; None without a deadline. Raises ``refusal`` if it cannot succeed before the deadline."""
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

    def _unexpected(self, what: str, status: int, method: str, path: str) -> APIError:
        return APIError(
            f"The answer to {method} {path} {what}. Is {self.base_url} a Raylift platform, of this SDK's version?",
            status=status,
            code="unexpected_answer",
            method=method,
            url=self.base_url + path,
        )


def _may_be_sent_again(error: httpx.TransportError, resend: bool) -> bool:
    return isinstance(error, _NEVER_SENT) or (resend and isinstance(error, _CONNECTION_LOST))


def _without_none(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {key: value for key, value in params.items() if value is not None} if params else None
