"""Finds the packages that a logged model needs, in the process that made it.

MLflow loads the model in a second Python and lists its imports, which takes seven seconds. Here the environment is locked, so
it suffices to find the packages that the script uses: those that it (or a module beside it) imports by name, loaded packages of
the job's own requirements, and the data libraries that every model touches.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, packages_distributions, version
from pathlib import Path

_COMPANIONS = ("numpy", "pandas", "scipy")
"""Reading a pickled model depends on their versions, even if the script does not import them."""
_NEVER = frozenset({"mlflow", "mlflow-skinny", "mlflow-tracing", "raylift", "ray", "pip", "setuptools"})
"""MLflow adds itself. The others belong to the platform, not to the model."""
_KNOWN_AS = {"sklearn": "scikit-learn", "PIL": "pillow", "cv2": "opencv-python", "yaml": "pyyaml", "skimage": "scikit-image"}
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def process_requirements(fallback: Iterable[str], lock: Iterable[str], script: str, project: str = "") -> list[str]:
    """Pinned requirements of a model made in this process.

    Args:
        fallback: Requirements of the MLflow flavor, already pinned.
        lock: Pins of the job's environment beyond the base environment.
        script: Path of the user's script.
        project: Folder with the rest of the user's code, if that is not the script's.
    """
    chosen = {_canonical(requirement): requirement for requirement in fallback}
    for requirement in lock:
        # Unchanged: a pin of the lock may be a URL.
        if not _modules_of(_canonical(requirement)).isdisjoint(sys.modules):
            chosen.setdefault(_canonical(requirement), requirement)
    used = {*_COMPANIONS, *_imported_by_name(script, project)} & sys.modules.keys() - sys.stdlib_module_names
    for name in sorted(filter(None, map(_distribution_of, used))):
        chosen.setdefault(_canonical(name), f"{name}=={version(name).partition('+')[0]}")
    return sorted(requirement for name, requirement in chosen.items() if name not in _NEVER)


def is_installed(requirement: str) -> bool:
    """True if the requirement is an exact pin of the installed version."""
    name, _, pinned = requirement.partition("==")
    try:
        return bool(pinned) and version(name).partition("+")[0] == pinned
    except PackageNotFoundError:
        return False


def _imported_by_name(script: str, project: str) -> set[str]:
    """Top-level names that the script imports, and loaded modules beside it or in its project."""
    directories = tuple(f"{directory}{os.sep}" for directory in (str(Path(script).parent), project) if directory)
    beside = {
        file
        for module in list(sys.modules.values())
        if isinstance(file := getattr(module, "__file__", None), str)
        and file.startswith(directories)
        and file.endswith(".py")
        and "site-packages" not in file
    }
    return {name for file in {script, *beside} for name in imports_in(file)}


@functools.cache
def imports_in(file: str) -> frozenset[str]:
    """Top-level names in the import statements of a file; none if it is no Python."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError):
        return frozenset()
    return frozenset(name.partition(".")[0] for node in ast.walk(tree) for name in _names(node))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


@functools.cache
def _distribution_of(module: str) -> str | None:
    """The distribution of a top-level module; None for the user's own modules."""
    name = _KNOWN_AS.get(module, module)
    try:
        return Distribution.from_name(name).metadata["Name"]
    except PackageNotFoundError:
        return _owners().get(module)


@functools.cache
def _owners() -> dict[str, str]:
    """Map all modules to their distributions. Reads every installed one, so it is used only if the name does not match."""
    return {module: name for module, (name, *_) in packages_distributions().items()}


@functools.cache
def _modules_of(name: str) -> frozenset[str]:
    try:
        files = Distribution.from_name(name).files or ()
    except PackageNotFoundError:
        return frozenset()
    return frozenset(file.parts[0].removesuffix(".py") for file in files if file.suffix in {".py", ".so"})


def _canonical(requirement: str) -> str:
    """The normalized name: ``scikit-learn`` of ``scikit_learn==1.7``."""
    match = _NAME.match(requirement.strip())
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else requirement
