"""A script behaves under the wrapper as with ``python script.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

EXITS = {
    "nothing": ("print('done')", 0),
    "sys.exit()": ("import sys; sys.exit()", 0),
    "sys.exit(7)": ("import sys; sys.exit(7)", 7),
    "sys.exit(text)": ("import sys; sys.exit('not today')", 1),
    "raise SystemExit(300)": ("raise SystemExit(300)", 300 % 256),
    "os._exit": ("import os; print('bye', flush=True); os._exit(5)", 5),
    "exception": ("def f():\n    raise ValueError('bad')\nf()", 1),
    "chained": ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e", 1),
    "group": ("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])", 1),
    "syntax": ("x = 1\ndef broken(:\n", 1),
    "exception in a thread": ("import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start()\nt.join()", 0),
    "atexit": ("import atexit\natexit.register(print, 'last words')", 0),
    "os._exit in atexit": ("import atexit, os\natexit.register(os._exit, 3)", 3),
    "null byte": ("x = '\\0'\nprint(len(x))", 0),
    "excepthook of its own": ("import sys\nsys.excepthook = lambda *a: print('hooked', a[0].__name__)\n1/0", 1),
    "future": ("from __future__ import annotations\ndef f(a: nope): ...\nprint(f.__annotations__)", 0),
    "no future": ("def f(a: int): ...\nprint(f.__annotations__)", 0),
    "names": (
        "import sys\nprint(__name__, __doc__, __package__, __spec__, __cached__, type(__loader__).__name__, __annotations__)\n"
        "print(sys.argv[1:], sys.flags, sys.path[1:], sorted(globals()), sys.modules['__main__'].__dict__ is globals())\n"
        "print(sys.argv[0] == __file__, __file__.startswith(sys.path[0]), sys.stdin.read())",
        0,
    ),
}


@pytest.mark.parametrize("name", EXITS)
def test_script_ends_and_prints_as_under_plain_python(name: str, run: Callable[..., Any]) -> None:
    source, code = EXITS[name]
    result = run(source, args=["--epochs", "3 x"])
    plain = subprocess.run(
        [sys.executable, str(result.directory / "source" / "my_model.py"), "--epochs", "3 x"],
        cwd=result.directory / "work",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", "PYTHONDONTWRITEBYTECODE": ""},
        check=False,
    )
    assert plain.returncode == code
    assert result.output == plain.stdout.decode()
    assert (result.exit_code, result.progress["exit_code"], result.progress["outcome"]) == (code, code, "exited")
    assert result.stdout == plain.stdout


def test_last_line_of_a_failure_is_its_message(run: Callable[..., Any]) -> None:
    assert run("raise ValueError('column price is missing')").progress["message"] == "ValueError: column price is missing"


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("import ctypes; ctypes.string_at(0)", 11),
        ("import os; os.abort()", 6),
        ("import os; os.kill(os.getpid(), 9)", 9),
        ("import os; os.kill(os.getpid(), 2); import time; time.sleep(5)", 2),
        ("raise KeyboardInterrupt", 2),
    ],
)
def test_end_by_a_signal_is_recorded(source: str, number: int, run: Callable[..., Any]) -> None:
    result = run(source)
    assert (result.progress["outcome"], result.progress["signal"], result.progress["exit_code"]) == ("signaled", number, None)
    assert result.exit_code == 128 + number


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_multiprocessing_finds_the_script(method: str, run: Callable[..., Any]) -> None:
    result = run(f"""
        import multiprocessing

        class Row:
            def __init__(self, x): self.x = x

        def double(row): return Row(row.x * 2)

        if __name__ == "__main__":
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                print([row.x for row in pool.map(double, map(Row, range(4)))])
        """)
    assert (result.exit_code, result.output) == (0, "[0, 2, 4, 6]\n")


def test_joblib_runs_two_processes(run: Callable[..., Any]) -> None:
    result = run("""
        from joblib import Parallel, delayed

        def square(x): return x * x

        print(Parallel(n_jobs=2, backend="loky")(delayed(square)(i) for i in range(5)))
        """)
    assert result.exit_code == 0, result.output
    assert "[0, 1, 4, 9, 16]\n" in result.output


def test_script_pickles_own_classes_and_imports_its_neighbours(
    make_attempt: Callable[..., Any], start: Callable[..., Any]
) -> None:
    running = start("""
        import pickle, time, pathlib
        class Mine: pass
        print(type(pickle.loads(pickle.dumps(Mine()))) is Mine)
        beside = pathlib.Path(__file__).parent / "beside.py"
        beside.write_text("value = 42")
        import beside as module
        print(module.value, pathlib.Path.cwd().name)
        """)
    assert running.wait().output == "True\n42 work\n"


def test_script_has_its_thread_pools_and_priority(run: Callable[..., Any]) -> None:
    result = run(
        """
        import os, resource
        print(os.environ["OMP_NUM_THREADS"], os.environ["LOKY_MAX_CPU_COUNT"], os.environ["MKL_NUM_THREADS"], os.nice(0) - BASE)
        print(open("/proc/self/oom_score_adj").read().strip(), resource.getrlimit(resource.RLIMIT_CORE))
        print(os.environ["RAYLIFT_JOB_ID"], os.environ["EXTRA"])
        """.replace("BASE", str(os.nice(0))),
        cpus=2.5,
        nice=3,
        environment={"MKL_NUM_THREADS": "7", "EXTRA": "a$HOME b"},
    )
    assert result.output == f"2 2 7 3\n1000 (0, 0)\n{result.directory.name.removesuffix('-a1')} a$HOME b\n"


def test_script_is_not_run_without_its_requirements(run: Callable[..., Any]) -> None:
    result = run("print('ran')", environment_lock=["humanize==4.9.0"], in_overlay=True)
    assert (result.exit_code, result.progress["outcome"]) == (78, "environment_error")
    assert result.progress["script_started_at"] is None
    assert result.progress["message"] in result.output
    assert "ray_uv" in result.progress["message"]
    assert "ran" not in result.output.splitlines()


def test_ray_train_imports_without_further_requirements(start: Callable[..., Any]) -> None:
    result = start("import ray.train\nprint('imported')").wait(120)
    assert "imported" in result.output
