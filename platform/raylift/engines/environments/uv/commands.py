"""uv as a subprocess: where it is, which settings it gets, how its failures read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import uv

from raylift.engines.environments.uv.process import Cancelled, Report, run

_NO_SOLUTION: Final = "No solution found"
"""What uv says when requirements contradict each other; anything else means that it could not look (network, disk, build)."""

_CACHE_VARIABLES: Final = ("UV_CACHE_DIR", "UV_NO_CACHE")
_FOREIGN: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT", "UV_WORKING_DIR")
"""Variables that would make uv look at another interpreter or project than the one it is told."""

_PIP_EQUIVALENTS: Final = (
    ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", ("UV_DEFAULT_INDEX", "UV_INDEX_URL")),
    ("PIP_EXTRA_INDEX_URL", "UV_INDEX", ("UV_INDEX", "UV_EXTRA_INDEX_URL")),
    ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST", ("UV_INSECURE_HOST",)),
    ("PIP_CERT", "SSL_CERT_FILE", ("SSL_CERT_FILE",)),
)
"""(pip's variable, uv's, the variables that take precedence): uv reads none of pip's, users have set them all the same."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})

_FRAMES: Final = re.compile(r"\x1b\[[0-9;]*m|[\u00d7\u2500-\u257f\u25b6]")
_LABELS: Final = re.compile(r"^\s*(?:error|cause|Caused by):\s*", re.MULTILINE)
_TALK: Final = re.compile(r"^ *(?:Using Python|Resolved|Prepared|Building|Built|Downloading|Downloaded) .*$", re.MULTILINE)
"""Lines about what went well."""
_MAX_MESSAGE: Final = 2000


class InstallerFailure(Exception):
    """uv ended without success. ``no_solution``: it looked and the requirements contradict each other."""

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
) -> None:
    """Run uv and wait for it; without a network, run it once more on what its cache has.

    Args:
        arguments: As on uv's command line.
        stdin: What uv reads.
        cache_dir: Where uv keeps downloads, unless the environment names a place.
        timeout: Seconds after which uv and what it started are killed.
        find_links: A directory of wheels to look into beside the user's own.
        defaults: Settings of uv that the environment may override.
        cancelled: Asked while uv runs; once true, uv and what it started are killed.
        report: Told how far uv's downloads are.

    Raises:
        InstallerFailure: uv failed, in one line of its own words.
        BuildCancelled: ``cancelled`` said so.
    """
    environment = uv_environment(os.environ, cache_dir=cache_dir, find_links=find_links, defaults=defaults or {})
    talk = ["--no-progress", "--quiet"] if report is None else []
    command = [uv.find_uv_bin(), "--color", "never", *talk, *arguments]
    if _is_on(environment, "PIP_NO_INDEX") and arguments[0] == "pip":
        command.append("--no-index")

    def once(more: Mapping[str, str]) -> None:
        code, said = run(command, stdin, {**environment, **more}, timeout=timeout, cancelled=cancelled, report=report)
        if code is None:
            raise InstallerFailure(f"uv did not finish within {timeout:.0f} seconds")
        if code != 0:
            raise InstallerFailure(one_line(said) or f"uv ended with exit code {code}", no_solution=_NO_SOLUTION in said)

    try:
        once({})
    except InstallerFailure as failure:
        if failure.no_solution or no_index_asked(environment):
            raise
        try:
            # uv asks the index whether its cache is still fresh, so without a network even cached packages fail.
            once({"UV_OFFLINE": "1"})
        except InstallerFailure:
            raise failure from None


def no_index_asked(environment: Mapping[str, str]) -> bool:
    """Whether uv is told to do without an index: with its cache, or with a directory of wheels, alone."""
    return _is_on(environment, "UV_OFFLINE") or _is_on(environment, "PIP_NO_INDEX")


def own_cache_is_used(environment: Mapping[str, str]) -> bool:
    """Whether downloads are kept beside the overlays, and not where uv's variables say."""
    return not any(name in environment for name in _CACHE_VARIABLES)


def uv_environment(
    environment: Mapping[str, str],
    *,
    cache_dir: Path | None,
    find_links: Path | None,
    defaults: Mapping[str, str],
) -> dict[str, str]:
    """The environment of a uv process: the caller's, pip's settings in uv's words, no trace of another interpreter."""
    result = {**defaults, **{name: value for name, value in environment.items() if name not in _FOREIGN}}
    if cache_dir is not None and own_cache_is_used(environment):
        result["UV_CACHE_DIR"] = str(cache_dir)
    for pip_name, uv_name, overriding in _PIP_EQUIVALENTS:
        if environment.get(pip_name) and not any(name in environment for name in overriding):
            result[uv_name] = environment[pip_name]
    links = environment.get("UV_FIND_LINKS") or ",".join(_existing(environment.get("PIP_FIND_LINKS", "").split()))
    links = ",".join(filter(None, [str(find_links) if find_links else "", links]))
    return result | ({"UV_FIND_LINKS": links} if links else {})


def one_line(output: str) -> str:
    """The report of uv without colours, frames, labels and line breaks, cut to what a person reads."""
    text = " ".join(_LABELS.sub("", _FRAMES.sub("", _TALK.sub("", output))).split())
    text = text.removeprefix("No solution found when resolving dependencies").lstrip(": ")
    return text if len(text) <= _MAX_MESSAGE else f"{text[: _MAX_MESSAGE // 2]} … {text[-_MAX_MESSAGE // 2 :]}"


def _is_on(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").lower() in _TRUE


def _existing(links: Sequence[str]) -> list[str]:
    # pip passes over a directory that is not there, uv fails.
    return [link for link in links if "://" in link or Path(link).is_dir()]
