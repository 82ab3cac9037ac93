"""Runs the user's script as ``__main__`` of this fresh interpreter, as ``python script.py`` would.

It is called by path with the script's niceness, the hooks' instructions (JSON), the script and its arguments.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType, TracebackType
    from typing import Any


def main() -> None:
    niceness, instructions, script, *arguments = sys.argv[1:]
    # The parent folder of the package job_entrypoints.
    sys.path[0] = os.path.dirname(os.path.dirname(sys.path[0]))
    from job_entrypoints.contract import NOTEBOOK_MARK
    from job_entrypoints.tracking import import_hooks

    if sys.flags.safe_path:
        del sys.path[0]
    else:
        sys.path[0] = os.path.dirname(script)
    sys.argv[:] = [script, *arguments]
    own_process = os.getpid()
    try:
        code = _compile(script, NOTEBOOK_MARK.encode())
        import_hooks.install(instructions, lambda: code)
        module = _as_main(script)
        os.nice(int(niceness))
        exec(code, module.__dict__)  # noqa: S102 - running the user's script is what this is for
    except BaseException as error:
        if os.getpid() == own_process:
            _note_end(instructions, script, error)
        _hide_frames_of(__file__)
        raise
    if os.getpid() == own_process and ("threading" in sys.modules or "multiprocessing.process" in sys.modules):
        _note_end(instructions, script, None)


def _compile(script: str, notebook_mark: bytes) -> CodeType:
    with open(script, "rb") as file:
        source = file.read()
    if source.startswith(notebook_mark):
        from job_entrypoints.script.notebook import compile_notebook

        return compile_notebook(source, __file__)
    # From bytes, for the coding cookie. Without dont_inherit the script would get this file's __future__ import.
    return compile(source, script, "exec", dont_inherit=True)


def _as_main(script: str) -> ModuleType:
    """Make a ``__main__`` as in ``python script.py``, so that pickle and multiprocessing find it by its path."""
    from importlib.machinery import SourceFileLoader

    module = type(sys)("__main__")
    module.__file__ = script
    module.__loader__ = SourceFileLoader("__main__", script)
    module.__dict__.update({"__builtins__": __builtins__, "__annotations__": {}, "__cached__": None})
    sys.modules["__main__"] = module
    return module


def _note_end(instructions: str, script: str, error: BaseException | None) -> None:
    from job_entrypoints.script.end import note_end

    note_end(instructions, script, error)


def _hide_frames_of(own_file: str) -> None:
    """Remove this file's frames from the user's traceback. Python still ends the process as usual."""
    original = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
        while trace is not None and trace.tb_frame.f_code.co_filename == own_file:
            trace = trace.tb_next
        error.__traceback__ = trace
        return original(kind, error, trace)

    sys.excepthook = excepthook


if __name__ == "__main__":
    main()
