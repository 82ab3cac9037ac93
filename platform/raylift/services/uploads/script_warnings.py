"""Warnings about a script that compiles: names that nothing defines, and modules that its environment will not have.

Nothing is executed, so both are guesses, and the job starts anyway.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pyflakes.checker import Checker
from pyflakes.messages import UndefinedName

_MOST_BYTES: Final = 256 * 1024
"""Larger scripts are mostly data."""
_MOST_WARNINGS: Final = 10
_PACKAGES: Final = {
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "community": "python-louvain",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "imblearn": "imbalanced-learn",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "magic": "python-magic",
    "nacl": "pynacl",
    "pkg_resources": "setuptools",
    "psycopg2": "psycopg2-binary",
    "pytorch_lightning": "pytorch-lightning",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "sksurv": "scikit-survival",
    "tensorflow_probability": "tensorflow-probability",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
"""Module → package, where their names differ."""
_IMPORT_ERRORS: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_OF_NOTEBOOKS: Final = frozenset({"display", "get_ipython"})
_FINDS_MODULES_ITSELF: Final = re.compile(rb"sys\.path|\bpip\b[^\n]*\binstall|importlib\.invalidate_caches|\bsite\.addsitedir")


@dataclass(frozen=True, slots=True)
class _Import:
    module: str
    line: int


def script_warnings(script: bytes, name: str, paths: Collection[str], requirements: Sequence[str]) -> list[str]:
    """Return sentences for the user; none for a script that is no Python, or too large.

    Args:
        script: Source of the script.
        name: Its name, for the sentences.
        paths: Files of its project.
        requirements: Its requirements, as lines.
    """
    if len(script) > _MOST_BYTES:
        return []
    try:
        tree = ast.parse(script)
        found = [*_undefined(tree, name), *_missing(script, tree, name, paths, requirements)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    more = len(found) - _MOST_WARNINGS
    return [*found[:_MOST_WARNINGS], *([f"{more} more warnings of this kind."] if more > 0 else [])]


def _undefined(tree: ast.Module, name: str) -> Iterator[str]:
    checker = Checker(tree, filename=name, builtins=_OF_NOTEBOOKS)
    messages = sorted(
        (message for message in checker.messages if isinstance(message, UndefinedName)), key=lambda one: one.lineno
    )
    seen: set[str] = set()
    for message in messages:
        (undefined,) = message.message_args
        if undefined not in seen:
            seen.add(undefined)
            yield f"{name}, line {message.lineno}: {undefined} is not defined."


def _missing(script: bytes, tree: ast.Module, name: str, paths: Collection[str], requirements: Sequence[str]) -> Iterator[str]:
    if _FINDS_MODULES_ITSELF.search(script):
        return
    own = {part.removesuffix(".py") for path in paths for part in PurePosixPath(path).parts}
    named = {known for line in requirements if (known := _package_of_line(line)) is not None}
    is_complete = len(named) == len(requirements)
    seen: set[str] = set()
    for wanted in sorted(_imports(tree.body), key=lambda one: one.line):
        top = wanted.module.partition(".")[0]
        package = _PACKAGES.get(top, top)
        if top in seen or top in own or _is_in_base(top) or not is_complete:
            continue
        seen.add(top)
        if {canonicalize_name(package), canonicalize_name(top)} & named or any(one.startswith(f"{top}-") for one in named):
            continue
        if named:
            yield (
                f"{name}, line {wanted.line}: {top} is not in the base environment, and no requirement has its name. "
                f"If none of them brings it, add {package} to the requirements."
            )
        else:
            yield f"{name}, line {wanted.line}: {top} is not in the base environment. Add {package} to the requirements."


def _imports(body: Sequence[ast.stmt]) -> Iterator[_Import]:
    """Imports that end the script if they fail: not those that it expects to fail, nor those for type checkers alone."""
    for statement in body:
        match statement:
            case ast.Import(names=names):
                yield from (_Import(alias.name, statement.lineno) for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield _Import(module, statement.lineno)
            case ast.Try(body=tried, handlers=handlers, orelse=otherwise, finalbody=finally_):
                if not any(_expects_failure(handler) for handler in handlers):
                    yield from _imports(tried)
                yield from _imports([*otherwise, *finally_])
            case ast.If(test=test) if "TYPE_CHECKING" in ast.dump(test):
                yield from _imports(statement.orelse)
            case _:
                for part in ("body", "orelse"):
                    yield from _imports(getattr(statement, part, []))


def _expects_failure(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or any(
        isinstance(node, ast.Name) and node.id in _IMPORT_ERRORS for node in ast.walk(handler.type)
    )


def _package_of_line(line: str) -> str | None:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return None


@lru_cache(maxsize=4096)
def _is_in_base(module: str) -> bool:
    """Tell whether jobs can import the module without requirements: they run in this process's environment."""
    if module in sys.stdlib_module_names or module == "__main__":
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
