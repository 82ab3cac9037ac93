"""The record of a script's end. Real processes end in every way that scripts end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.linux.process_tree import descendants, send

LINKS = "import atexit\natexit.register(lambda: print('🏃 View run able-cow at: http://127.0.0.1:1/#/runs/1'))\n"


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        ("raise ValueError('no column churn')", 1, "ValueError: no column churn"),
        ("if __name__ == '__main__':\n    raise KeyError('churn')", 1, "KeyError: 'churn'"),
        ("import sys; sys.exit('accuracy 0.4 < 0.8')", 1, "accuracy 0.4 < 0.8"),
        ("import sys; print('gave up', flush=True); sys.exit(3)", 3, "gave up"),
        ("import os; print('gone', flush=True); os._exit(4)", 4, "gone"),
        ("raise ExceptionGroup('two', [ValueError('a'), TypeError('b')])", 1, "[ValueError: a; TypeError: b]"),
        (
            "import sys\ndef f(): raise ValueError('in f')\nsys.excepthook = lambda *_: print('my hook')\nf()",
            1,
            "ValueError: in f",
        ),
        (
            "import sys\nfrom threading import Thread\nt = Thread(target=lambda: 1 / 0)\nt.start()\nt.join()\n"
            "sys.exit('a thread failed')",
            1,
            "a thread failed",
        ),
    ],
)
def test_record_names_the_exception_despite_later_output(ending: str, code: int, message: str, run: Callable[..., Any]) -> None:
    result = run(LINKS + ending)
    assert (result.exit_code, result.progress["exit_code"]) == (code, code), result.output
    assert message in result.progress["message"]
    assert "View run" not in result.progress["message"]


def test_exception_of_a_forked_child_is_not_the_script_s(run: Callable[..., Any]) -> None:
    result = run(
        "import os, sys\nif os.fork() == 0:\n    raise ValueError('of the child')\nos.wait()\nsys.exit('of the parent')"
    )
    assert result.progress["message"] == "of the parent"


def test_exception_of_a_command_s_python_is_recorded(run: Callable[..., Any]) -> None:
    result = run("", command="python -c 'raise ValueError(12)'; status=$?; echo bye; exit $status")
    assert (result.exit_code, result.progress["message"]) == (1, "ValueError: 12")


def test_missing_module_of_a_single_script_gets_a_hint_at_projects(run: Callable[..., Any]) -> None:
    result = run("from no_such_sibling import load")
    assert "raylift train . --entrypoint my_model.py" in result.progress["message"]
    assert "Traceback" in result.output


def test_record_names_a_thread_that_outlives_the_script(start: Callable[..., Any]) -> None:
    running = start(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), name='gpu-watch').start()\nprint('last line', flush=True)",
        stop_grace_seconds=1.0,
    )
    running.wait_until(lambda: (running.directory / "notes" / "script.json").exists())
    (running.directory / "stop").write_text("its time limit of 60 s is over")
    result = running.wait()
    assert result.progress["outcome"] == "stopped"
    assert "come to its end" in result.progress["held_by"]
    assert "'gpu-watch'" in result.progress["held_by"]
    assert "[raylift] stopped: its time limit of 60 s is over: SIGTERM" in result.output


def test_busy_script_is_not_reported_as_held_by_a_thread(start: Callable[..., Any]) -> None:
    running = start("import threading, time\nprint('at work', flush=True)\ntime.sleep(60)")
    running.wait_for_output("at work")
    (running.directory / "stop").touch()
    result = running.wait()
    assert (result.progress["outcome"], result.progress["held_by"]) == ("stopped", None)
    assert "[raylift] stopped: as asked" in result.output


def test_pipe_in_place_of_the_stop_file_delays_nothing(start: Callable[..., Any]) -> None:
    running = start("import os, time\nos.mkfifo('../stop')\ntime.sleep(60)")
    assert running.wait().progress["outcome"] == "stopped"


COUNT = """
import os, signal, time
counts = []
def note(*_):
    counts.append(1)
    print("SIGTERM", len(counts), flush=True)
signal.signal(signal.SIGTERM, note)
print("ready", os.getpid(), flush=True)
give_up = time.monotonic() + 3
while time.monotonic() < give_up:
    time.sleep(0.05)
    if counts:
        give_up = min(give_up, time.monotonic() + 2.5)
print("saved", flush=True)
"""


def _tree(running: Any) -> list[int]:
    return [running.process.pid, *descendants(running.process.pid)]


def test_sigterm_to_every_process_reaches_the_script_once(start: Callable[..., Any]) -> None:
    running = start(COUNT)
    running.wait_for_output("ready")
    send(_tree(running), signal.SIGTERM)
    result = running.wait()
    assert result.output.count("SIGTERM 1\n") == 1
    assert "SIGTERM 2" not in result.output
    assert "saved" in result.output


def test_stop_file_and_ray_s_sigterm_give_one_sigterm(start: Callable[..., Any]) -> None:
    running = start(COUNT)
    running.wait_for_output("ready")
    (running.directory / "stop").write_text("the job was cancelled")
    running.wait_for_output("[raylift] stopped: the job was cancelled")
    send(_tree(running), signal.SIGTERM)
    result = running.wait()
    assert "SIGTERM 1\n" in result.output
    assert "SIGTERM 2" not in result.output


@pytest.mark.parametrize("how", ["stop file", "SIGTERM to the anchor"])
def test_script_gets_sigterm_without_ray_s(how: str, start: Callable[..., Any]) -> None:
    running = start(COUNT.replace("+ 3", "+ 30"))
    running.wait_for_output("ready")
    if how == "stop file":
        (running.directory / "stop").touch()
    else:
        running.process.terminate()
    assert "SIGTERM 1\n" in running.wait().output


def test_shell_command_has_its_whole_grace_period(start: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "saves.py"
    script.write_text(COUNT.replace("+ 3", "+ 30"))
    running = start("", command=f"bash -c '{sys.executable} {script}; echo after'", stop_grace_seconds=20.0)
    running.wait_for_output("ready")
    (running.directory / "stop").touch()
    send(_tree(running), signal.SIGTERM)
    result = running.wait()
    assert "saved" in result.output
    assert "SIGTERM 2" not in result.output
