"""The page of docs/guides/browser.md in a real browser (Chromium), against the real HAProxy."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from raylift.ingress.allowed_hosts import LOOPBACK_NAMES
from raylift.ingress.guard import Guard
from tests.integration.ingress.conftest import running_ingress

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "browser.md"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the class calls it by
        """Log nothing: pytest prints enough."""


@contextmanager
def site(directory: Path) -> Iterator[str]:
    """A web site on this machine: its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(directory))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def opened(url: str, profile: Path) -> str:
    """The text that the page shows in the end."""
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--virtual-time-budget=10000"]
    done = subprocess.run([CHROMIUM, *options, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True)
    match = re.search(r'<output id="answer">(.*?)</output>', done.stdout, re.DOTALL)
    assert match is not None, done.stdout[-2000:]
    return match[1]


@pytest.mark.parametrize(("allowed", "shown"), [(True, "predictions: 0.5"), (False, "refused: Failed to fetch")])
def test_page_of_the_guide_predicts_where_it_is_allowed(tmp_path: Path, allowed: bool, shown: str) -> None:
    (page,) = re.findall(r"```html\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    pages = tmp_path / "site"
    pages.mkdir()
    with (
        site(pages) as origin,
        running_ingress(Guard(frozenset(LOOPBACK_NAMES)), origins=(origin,) if allowed else ()) as ingress,
    ):
        (pages / "index.html").write_text(page.replace("https://raylift.example.org", ingress.url), encoding="utf-8")
        assert opened(f"{origin}/index.html", tmp_path / "profile") == shown
