"""Commands of uv: settings from the environment, a retry without a network, readable failures."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import uv

from raylift.engines.environments.uv.process import Cancelled, Report, run

_NO_SOLUTION: Final = "No solution found"
"""Part of uv's message about contradicting requirements. Other failures are technical (network, disk, build)."""

_CACHE_VARIABLES: Final = ("UV_CACHE_DIR", "UV_NO_CACHE")
_FOREIGN: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT", "UV_WORKING_DIR")
"""Variables that would select another interpreter or project."""

_PIP_EQUIVALENTS: Final = (
    ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", ("UV_DEFAULT_INDEX", "UV_INDEX_URL")),
    ("PIP_EXTRA_INDEX_URL", "UV_INDEX", ("UV_INDEX", "UV_EXTRA_INDEX_URL")),
    ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST", ("UV_INSECURE_HOST",)),
    ("PIP_CERT", "SSL_CERT_FILE", ("SSL_CERT_FILE",)),
)
"""(pip's variable, uv's, variables that take precedence). uv does not read pip's variables, which users may have set."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})

_FRAMES: Final = re.compile(r"\x1b\[[0-9;]*m|[\u00d7\u2500-\u257f\u25b6]")
_LABELS: Final = re.compile(r"^\s*(?:error|cause|Caused by):\s*", re.MULTILINE)
_TALK: Final = re.compile(r"^ *(?:Using Python|Resolved|Prepared|Building|Built|Downloading|Downloaded) .*$", re.MULTILINE)
"""Progress lines."""
_MAX_MESSAGE: Final = 2000


class InstallerFailure(Exception):
    """uv failed. ``no_solution``: the requirements contradict each other."""

    def __init__(self, message: str, *, no_solution: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.no_solution = no_solution


def run_uv(
    arguments: Sequence[str],
    *,
    stdin: str = "",
    cache_dir: Path | None,
    timeout: float,
    find_links: Path | None = None,
    defaults: Mapping[str, str] | None = None,
    cancelled: Cancelled = lambda: False,
    report: Report | None = None,
    writes: Sequence[Path] | None = None,
) -> None:
    """Run uv and wait for it. After a technical failure, run it again offline with its cache.

    Args:
        arguments: uv's command line.
        stdin: text for uv's standard input.
        cache_dir: uv's cache, unless the environment names one.
        timeout: seconds after which uv and its children are killed.
        find_links: a directory of wheels in addition to the user's own.
        defaults: settings of uv that the environment may override.
        cancelled: polled while uv runs; True kills uv and its children.
        report: receives the progress of downloads.
        writes: folders that it may write, besides its cache. It may then build packages, whose code is confined to them. None:
            it runs no code of packages.

    Raises:
        InstallerFailure: uv failed; has its message in one line.
        BuildCancelled: ``cancelled`` returned True.
    """
    environment = uv_environment(os.environ, cache_dir=cache_dir, find_links=find_links, defaults=defaults or {})
    verbosity = ["--no-progress", "--quiet"] if report is None else []
    command = [uv.find_uv_bin(), "--color", "never", *verbosity, *arguments]
    if _is_on(environment, "PIP_NO_INDEX") and arguments[0] == "pip":
        command.append("--no-index")

    reads = [] if find_links is None else [find_links]

    def once(more: Mapping[str, str]) -> None:
        variables = {**environment, **more}
        written = None if writes is None else [*writes, _cache_of(variables)]
        code, output = run(
            command, stdin, variables, timeout=timeout, cancelled=cancelled, report=report, writes=written, reads=reads
        )
        if code is None:
            raise InstallerFailure(f"uv did not finish within {timeout:.0f} seconds")
        if code != 0:
            raise InstallerFailure(one_line(output) or f"uv ended with exit code {code}", no_solution=_NO_SOLUTION in output)

    try:
        once({})
    except InstallerFailure as failure:
        if failure.no_solution or has_no_index(environment):
            raise
        try:
            # uv revalidates its cache with the index, so without a network even cached packages fail.
            once({"UV_OFFLINE": "1"})
        except InstallerFailure:
            raise failure from None


def has_no_index(environment: Mapping[str, str]) -> bool:
    """Return True where uv may use only its cache or a directory of wheels."""
    return _is_on(environment, "UV_OFFLINE") or _is_on(environment, "PIP_NO_INDEX")


def own_cache_is_used(environment: Mapping[str, str]) -> bool:
    """Return True where the cache is next to the overlays; False where uv's variables name another."""
    return not any(name in environment for name in _CACHE_VARIABLES)


def uv_environment(
    environment: Mapping[str, str],
    *,
    cache_dir: Path | None,
    find_links: Path | None,
    defaults: Mapping[str, str],
) -> dict[str, str]:
    """Build the environment of a uv process: the caller's, with pip's settings translated and foreign settings removed."""
    result = {**defaults, **{name: value for name, value in environment.items() if name not in _FOREIGN}}
    if cache_dir is not None and own_cache_is_used(environment):
        result["UV_CACHE_DIR"] = str(cache_dir)
    for pip_name, uv_name, overriding in _PIP_EQUIVALENTS:
        if environment.get(pip_name) and not any(name in environment for name in overriding):
            result[uv_name] = environment[pip_name]
    links = environment.get("UV_FIND_LINKS") or ",".join(_existing(environment.get("PIP_FIND_LINKS", "").split()))
    links = ",".join(filter(None, [str(find_links) if find_links else "", links]))
    return result | ({"UV_FIND_LINKS": links} if links else {})


def _cache_of(environment: Mapping[str, str]) -> Path:
    """Return uv's cache, and create it."""
    named = environment.get("UV_CACHE_DIR")
    shared = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/nonexistent"), ".cache")
    cache = Path(named) if named else Path(shared, "uv")
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def one_line(output: str) -> str:
    """Return uv's report in one line, without colours, frames and labels, shortened to about 2000 characters."""
    text = " ".join(_LABELS.sub("", _FRAMES.sub("", _TALK.sub("", output))).split())
    text = text.removeprefix("No solution found when resolving dependencies").lstrip(": ")
    return text if len(text) <= _MAX_MESSAGE else f"{text[: _MAX_MESSAGE // 2]} … {text[-_MAX_MESSAGE // 2 :]}"


def _is_on(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").lower() in _TRUE


def _existing(links: Sequence[str]) -> list[str]:
    # pip ignores a missing directory, uv fails.
    return [link for link in links if "://" in link or Path(link).is_dir()]
