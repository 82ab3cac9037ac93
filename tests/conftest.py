"""For all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings


def pytest_configure() -> None:
    # CI looks at the same examples each time, so that its verdict is about the change; by hand, new ones are looked for.
    # No deadlines: how long an example takes says more about what else runs on the machine.
    settings.register_profile("raylift", derandomize=bool(os.environ.get("CI")), deadline=None)
    settings.load_profile("raylift")
    # A shell that runs the tests in the background ignores Ctrl-C, and so would every process they start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
