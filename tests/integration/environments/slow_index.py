"""A slow package index on loopback."""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any

_PIECE = 16 * 1024
_JSON = "application/vnd.pypi.simple.v1+json"


class SlowIndex:
    """Has version 1.0 of packages whose size the test chooses. Sends their wheels piece by piece."""

    def __init__(self, *, bytes_per_second: int) -> None:
        self.wheels: dict[str, bytes] = {}
        self.pause = _PIECE / bytes_per_second
        self.begun = threading.Event()
        """Set when the download of a wheel has begun."""
        self.broken_off = threading.Event()
        """Set when a client has hung up during a download."""
        self.closing = threading.Event()
        self.tells_sizes = False
        """True: its pages are JSON with the sizes of files, as PyPI's are."""
        self._server = _Server(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/simple"

    def add(self, name: str, weight: int, *, requires: Sequence[str] = ()) -> None:
        info, content = f"{name}-1.0.dist-info", io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
            archive.writestr(f"{name}.py", "")
            archive.writestr(f"{name}_weight.bin", os.urandom(weight))
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        self.wheels[f"{name}-1.0-py3-none-any.whl"] = content.getvalue()

    def wheel_url(self, name: str) -> str:
        """Address of the package's wheel."""
        return f"{self.url.removesuffix('simple')}files/{name}-1.0-py3-none-any.whl"

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def slow_index(*, bytes_per_second: int) -> Iterator[SlowIndex]:
    index = SlowIndex(bytes_per_second=bytes_per_second)
    thread = threading.Thread(target=index.serve)
    thread.start()
    try:
        yield index
    finally:
        index.close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def __init__(self, index: SlowIndex) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.index = index


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Log nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        last = PurePosixPath(self.path).name
        if last in self.server.index.wheels:
            self._wheel(self.server.index.wheels[last], body=body)
            return
        index = self.server.index
        names = [name for name in index.wheels if name.startswith(f"{last.replace('-', '_')}-")]
        page = _as_json(last, names, index.wheels) if index.tells_sizes else _as_html(names)
        self._head(200 if names else 404, len(page), _JSON if index.tells_sizes else "text/html")
        if body:
            self.wfile.write(page)

    def _wheel(self, content: bytes, *, body: bool) -> None:
        asked = self.headers.get("Range")
        if asked:
            # uv reads the metadata at the end of a wheel first: no delay for that.
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first = int(start) if start else len(content) - int(end)
            part = content[first : int(end) + 1 if start and end else None]
            self._head(206, len(part), "application/zip", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
            self.wfile.write(part)
            return
        self._head(200, len(content), "application/zip")
        if not body:
            return
        self.server.index.begun.set()
        try:
            for start in range(0, len(content), _PIECE):
                self.wfile.write(content[start : start + _PIECE])
                if self.server.index.closing.wait(self.server.index.pause):
                    return
        except OSError:
            self.server.index.broken_off.set()

    def _head(self, code: int, length: int, kind: str, part: str | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", kind)
        self.send_header("Accept-Ranges", "bytes")
        if part is not None:
            self.send_header("Content-Range", part)
        self.end_headers()


def _as_html(names: Sequence[str]) -> bytes:
    return "".join(f'<a href="/files/{name}">{name}</a>' for name in names).encode()


def _as_json(package: str, names: Sequence[str], wheels: Mapping[str, bytes]) -> bytes:
    files = [{"filename": name, "url": f"/files/{name}", "hashes": {}, "size": len(wheels[name])} for name in names]
    return json.dumps({"meta": {"api-version": "1.1"}, "name": package, "versions": ["1.0"], "files": files}).encode()
