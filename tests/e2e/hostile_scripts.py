"""Scripts that do harm, on purpose or by mistake, and the expected end of each job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from raylift.domain.job import JobStatus, Reason


@dataclass(frozen=True)
class Hostile:
    """One script. ``reason`` is None for a job that completes."""

    name: str
    script: str
    status: JobStatus = JobStatus.FAILED
    reason: Reason | None = Reason.SCRIPT_ERROR
    timeout_seconds: int = 60
    cancel_when: str | None = None
    """The job is cancelled once it has printed this text."""


_DAEMON: Final = """
import os, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
"""
_KILLS_ITS_WRAPPER: Final = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        sleep = [sys.executable, "-c", "import time; time.sleep(1000)", os.environ["RAYLIFT_JOB_ID"]]
        os.execve(sys.executable, sleep, {"PATH": "/bin"})
    os._exit(0)
time.sleep(0.5)
monitor = os.getppid()
anchor = int(open(f"/proc/{monitor}/stat").read().rpartition(")")[2].split()[1])
os.kill(anchor, signal.SIGSTOP)
os.kill(monitor, signal.SIGSTOP)
os.kill(anchor, signal.SIGKILL)
os.kill(monitor, signal.SIGKILL)
"""

SCRIPTS: Final = (
    Hostile("memory bomb", "b = []\nwhile True: b.append(b'x' * (64 << 20))", reason=Reason.OUT_OF_MEMORY),
    Hostile(
        "memory bomb of many processes",
        "import os, time\nfor _ in range(16):\n    if os.fork() == 0: b = b'x' * (64 << 20); time.sleep(999)\ntime.sleep(999)",
        reason=Reason.OUT_OF_MEMORY,
    ),
    Hostile(
        "memory bomb that maps nothing",
        "import os, time\nm = os.memfd_create('m')\nfor _ in range(2048): os.write(m, b'x' * (1 << 20))\ntime.sleep(30)",
        reason=Reason.OUT_OF_MEMORY,
    ),
    Hostile("fork bomb", "import os\nwhile True: os.fork()", reason=Reason.PROCESS_LIMIT),
    Hostile(
        "thread bomb",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1000,)).start()",
        reason=Reason.PROCESS_LIMIT,
    ),
    Hostile("disk filler", "f = open('big', 'wb')\nwhile True: f.write(b'x' * (1 << 20))", reason=Reason.DISK_LIMIT),
    Hostile(
        "disk filler with deleted files",
        "import tempfile\nf = tempfile.TemporaryFile()\nwhile True: f.write(b'x' * (1 << 20))",
        reason=Reason.DISK_LIMIT,
    ),
    Hostile(
        "ignores SIGTERM, cancelled",
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('ready')\nwhile True: time.sleep(1)",
        status=JobStatus.CANCELLED,
        reason=Reason.CANCELLED_BY_USER,
        cancel_when="ready",
    ),
    Hostile(
        "ignores SIGTERM, out of time",
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nwhile True: time.sleep(1)",
        reason=Reason.TIMEOUT,
        timeout_seconds=3,
    ),
    Hostile("infinite loop in C", "sum(iter(int, 1))", reason=Reason.TIMEOUT, timeout_seconds=3),
    Hostile("double-forking daemons", _DAEMON, status=JobStatus.COMPLETED, reason=None),
    Hostile("daemon with a cleared environment, then kills its wrapper", _KILLS_ITS_WRAPPER),
    Hostile("closes its stdout", "import os\nos.close(1); os.close(2)", status=JobStatus.COMPLETED, reason=None),
    Hostile(
        "1 GB of output",
        "line = 'x' * 1023 + '\\n'\nimport sys\nfor _ in range(1 << 20): sys.stdout.write(line)",
        status=JobStatus.COMPLETED,
        reason=None,
        timeout_seconds=120,
    ),
    Hostile("exit in an atexit hook", "import atexit, os\natexit.register(os._exit, 7)"),
    Hostile("os._exit(3)", "import os\nos._exit(3)"),
    Hostile('sys.exit("text")', "import sys\nsys.exit('nothing to train on')"),
    Hostile("segfault", "import ctypes\nctypes.string_at(0)"),
    Hostile("imports nothing", "6 * 7", status=JobStatus.COMPLETED, reason=None),
)
