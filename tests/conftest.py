"""For all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings


def pytest_configure() -> None:
    # CI looks at the same examples each time, so that its verdict is about the change; by hand, new ones are looked for.
    settings.register_profile("ci", derandomize=True)
    if os.environ.get("CI"):
        settings.load_profile("ci")
    # A shell that runs the tests in the background ignores Ctrl-C, and so would every process they start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
