"""HTTP client of the gateway's routes for attempts."""

from __future__ import annotations

import http.client
import json
import ssl
from urllib.parse import quote, urlsplit

from job_entrypoints.contract import ATTEMPT_OVER, ATTEMPT_TOKEN_HEADER, ATTEMPTS_PATH, BUNDLE, NODE_HEADER, REPORT, RESULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from job_entrypoints.contract import AnswerRecord, ReportRecord

_REPORT_SECONDS = 10.0
_BUNDLE_SECONDS = 60.0
"""Longest silence while the bundle comes."""
_REFUSING = (401, 403, 404, 409, 410, 422)
_LONGEST_ANSWER = 1 << 16


class Unreachable(Exception):
    """The gateway does not answer now. The next try may succeed."""


class Refused(Exception):
    """The gateway refuses the request. ``is_over``: the attempt does not count any more."""

    def __init__(self, status: int, detail: str, code: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.is_over = code == ATTEMPT_OVER


class Gateway:
    """The gateway, as one attempt reaches it. Each process needs its own."""

    def __init__(self, url: str, submission_id: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._parts = urlsplit(self.url)
        self._path = f"{self._parts.path}{ATTEMPTS_PATH}/{quote(submission_id, safe='')}"
        self._headers = {ATTEMPT_TOKEN_HEADER: token}
        self._connection: http.client.HTTPConnection | None = None

    def bundle(self, node: str) -> http.client.HTTPResponse:
        """Ask for the bundle. The caller reads the answer's body, then calls ``close``.

        Raises:
            Unreachable: there is no answer.
            Refused: the attempt has no bundle for us.
        """
        return self._ask("GET", BUNDLE, None, {NODE_HEADER: node}, _BUNDLE_SECONDS)

    def data(self, what: str) -> http.client.HTTPResponse:
        """Ask for bytes of a dataset. Otherwise as ``bundle``."""
        return self._ask("GET", what, None, {}, _BUNDLE_SECONDS)

    def report(self, message: ReportRecord, log: bytes) -> AnswerRecord:
        """Send a message. Raises as ``bundle`` does."""
        body = json.dumps(message).encode() + b"\n" + log
        answer = self._ask("POST", REPORT, body, {"Content-Type": "application/octet-stream"}, _REPORT_SECONDS)
        try:
            found = json.loads(answer.read(_LONGEST_ANSWER))
            return {"have": int(found["have"]), "stop": found["stop"]}
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            self.close()
            raise Unreachable(f"{self.url} sent no answer of the platform: {error!r}") from error

    def result(self, path: str, offset: int, content: bytes, *, is_file: bool) -> int:
        """Send bytes of a file that the script has made. Returns how many the platform has. Raises as ``bundle`` does."""
        what = f"{RESULT}?path={quote(path, safe='')}&offset={offset}&is_file={str(is_file).lower()}"
        answer = self._ask("PUT", what, content, {"Content-Type": "application/octet-stream"}, _BUNDLE_SECONDS)
        try:
            return int(json.loads(answer.read(_LONGEST_ANSWER))["have"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            self.close()
            raise Unreachable(f"{self.url} sent no answer of the platform: {error!r}") from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(
        self, method: str, what: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> http.client.HTTPResponse:
        try:
            connection = self._connected(seconds)
            connection.request(method, f"{self._path}/{what}", body, {**self._headers, **headers})
            answer = connection.getresponse()
            if answer.status == 200:
                return answer
            detail = answer.read(_LONGEST_ANSWER).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(f"{self.url} does not answer: {error}") from error
        self.close()
        problem = _problem(detail)
        # Ray's proxy answers 404 in plain words while the gateway starts or is replaced: no reason to end a script.
        if problem is not None and answer.status in _REFUSING:
            raise Refused(answer.status, *problem)
        raise Unreachable(f"{self.url} answered {answer.status}")

    def _connected(self, seconds: float) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._parts.hostname or "", self._parts.port
            if self._parts.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=seconds)
        return self._connection


def _problem(text: str) -> tuple[str, str] | None:
    """The sentence and the code of the platform's error; None for an answer of somebody else."""
    try:
        document = json.loads(text)
        return str(document["detail"]), str(document["code"])
    except (ValueError, KeyError, TypeError):
        return None
