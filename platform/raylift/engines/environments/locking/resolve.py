"""Resolution of requirements into a lock: pinned packages beyond the base environment."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from raylift.domain.job import AUTO_TORCH_BACKEND
from raylift.engines.environments.base import applies, base_distribution, satisfies_base
from raylift.engines.environments.errors import EnvironmentUnresolvable
from raylift.engines.environments.locking.frozen_base import FrozenBase
from raylift.engines.environments.locking.locked_files import PYTORCH_HOST, LockedFile, build_options, files_of
from raylift.engines.environments.locking.metadata_wheels import write_metadata_wheel
from raylift.engines.environments.uv.commands import InstallerFailure, has_no_index, run_uv
from raylift.engines.environments.uv.process import Cancelled

_TIMEOUT_SECONDS: Final = 120.0
_HTTP_SETTINGS: Final = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_RETRIES": "1"}
"""A resolution fetches only small files, so an index that is silent for this long is considered down."""
_MAX_ROUNDS: Final = 3


def resolve(
    requirements: Sequence[str],
    *,
    cache_dir: Path | None = None,
    torch_backend: str = AUTO_TORCH_BACKEND,
    cancelled: Cancelled = lambda: False,
) -> tuple[str, ...]:
    """Return the sorted pins (``name==version`` or ``name @ url``) that ``requirements`` need beyond the base.

    Versions of the base are kept where the requirements allow it. Otherwise the requirements win, and packages of the base
    that would conflict are replaced as well. Ray and its requirements are never replaced.

    Builds of PyTorch from its own index are pinned by URL, so that the lock is sufficient for an installation.

    Args:
        requirements: PEP 508 lines.
        cache_dir: uv's cache, unless its own variables name one; None: uv's default.
        torch_backend: build of PyTorch.
        cancelled: polled while uv resolves; True stops it.

    Raises:
        EnvironmentUnresolvable: no packages meet the requirements, or the index is unreachable.
        BuildCancelled: ``cancelled`` returned True.
    """
    wanted = [requirement for requirement in map(_parse, requirements) if applies(requirement)]
    for requirement in wanted:
        _refuse_another_ray(requirement)
    if all(satisfies_base(requirement) for requirement in wanted):
        return ()
    base = FrozenBase.read()
    uv = _Uv(cache_dir, torch_backend, cancelled)
    # Includes satisfied ones, because new packages have to be compatible with all requirements.
    lines = [str(requirement) for requirement in wanted]
    try:
        pins = _pins(lines, base, uv)
        lock = tuple(sorted({str(pin) for pin in pins if not base.meets(pin)}))
        return lock if torch_backend == AUTO_TORCH_BACKEND else _with_addresses(lock, uv)
    except InstallerFailure as failure:
        raise _unresolvable(failure, lines, base) from None


@dataclass(frozen=True, slots=True)
class _Uv:
    """Options of every uv run."""

    cache_dir: Path | None
    torch_backend: str
    cancelled: Cancelled


def _with_addresses(lock: tuple[str, ...], uv: _Uv) -> tuple[str, ...]:
    """Replace pins of packages from PyTorch's own index by their URLs."""
    files = files_of(lock, cache_dir=uv.cache_dir, torch_backend=uv.torch_backend, cancelled=uv.cancelled)
    addresses = {file.name: address for file in files if (address := _address(file)) is not None}
    pins = map(Requirement, lock)
    return tuple(sorted(addresses.get(canonicalize_name(pin.name), str(pin)) for pin in pins))


def _address(file: LockedFile) -> str | None:
    host = urlsplit(file.url or "").hostname or ""
    if host != PYTORCH_HOST and not host.endswith(f".{PYTORCH_HOST}"):
        return None
    return f"{file.name} @ {file.url}" + (f"#sha256={file.sha256}" if file.sha256 else "")


def _parse(line: str) -> Requirement:
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise EnvironmentUnresolvable(
            f"{line!r} is not a PEP 508 requirement such as 'humanize>=4' or 'mylib @ https://example.org/mylib.whl': "
            f"{str(error).splitlines()[0]}",
            requirements=(line,),
        ) from None


def _refuse_another_ray(requirement: Requirement) -> None:
    if canonicalize_name(requirement.name) != "ray":
        return
    ray = base_distribution("ray")
    if ray is None or (requirement.url is None and requirement.specifier.contains(ray.version, prereleases=True)):
        return
    raise EnvironmentUnresolvable(
        f"'{requirement}' asks for another Ray than the cluster's own ray=={ray.version}: a job runs on the cluster's Ray. "
        f"Leave ray out of the requirements, or allow {ray.version}.",
        requirements=(str(requirement),),
    )


def _pins(lines: Sequence[str], base: FrozenBase, uv: _Uv) -> list[Requirement]:
    try:
        return _compile(lines, base.constraints(), base, uv)
    except InstallerFailure as failure:
        if not failure.no_solution:
            raise
    pins = _compile(lines, base.limits_of_ray(), base, uv)
    return _with_conflicting(lines, pins, base, uv)


def _with_conflicting(lines: Sequence[str], pins: list[Requirement], base: FrozenBase, uv: _Uv) -> list[Requirement]:
    """Add compatible versions of the base's packages that conflict with ``pins``."""
    wanted = list(lines)
    for _ in range(_MAX_ROUNDS):
        broken = base.broken_by(pins)
        if not broken:
            break
        wanted += broken
        try:
            pins = _compile(wanted, base.limits_of_ray(), base, uv)
        except InstallerFailure as failure:
            if not failure.no_solution:
                raise
            # The requirements win. Only the user knows if the script imports the conflicting package.
            break
    return pins


def _compile(lines: Sequence[str], constraints: Sequence[str], base: FrozenBase, uv: _Uv) -> list[Requirement]:
    with tempfile.TemporaryDirectory(prefix="raylift-resolve-") as name:
        folder = Path(name)
        limits = folder / "constraints.txt"
        limits.write_text("\n".join(constraints))
        # uv prefers versions from its output file, so it replaces as few packages of the base as possible.
        lock = folder / "lock.txt"
        lock.write_text("\n".join(base.pins()))
        wheels = folder / "metadata-wheels"
        wheels.mkdir()
        for dist in base.not_on_index(no_index=has_no_index(os.environ)):
            write_metadata_wheel(dist, wheels)
        options = (*build_options(uv.torch_backend), "--constraints", str(limits), "--output-file", str(lock))
        run_uv(
            ["pip", "compile", "-", "--no-header", "--no-annotate", "--python", sys.executable, *options],
            stdin="\n".join(lines) + "\n",
            cache_dir=uv.cache_dir,
            cancelled=uv.cancelled,
            timeout=_TIMEOUT_SECONDS,
            find_links=wheels,
            defaults=_HTTP_SETTINGS,
            writes=[folder],
        )
        return [Requirement(line) for line in lock.read_text().splitlines() if line.strip() and not line.startswith(("#", "-"))]


def _unresolvable(failure: InstallerFailure, lines: Sequence[str], base: FrozenBase) -> EnvironmentUnresolvable:
    if failure.no_solution:
        detail = f"No packages meet the requirements {', '.join(lines)}: {failure.message}"
        # uv names Ray's limits as if they were the user's requirements.
        limits = [limit for limit in base.limits_of_ray() if _quotes(failure.message, Requirement(limit))]
        if limits:
            detail += f" Ray, which every job runs on, needs {', '.join(limits)}."
    else:
        detail = f"The requirements {', '.join(lines)} could not be resolved: {failure.message}"
    return EnvironmentUnresolvable(detail, requirements=tuple(lines))


def _quotes(message: str, limit: Requirement) -> bool:
    """Return True where ``message`` contains the limit, with its parts in any order."""
    found = re.findall(rf"(?<![\w.-]){re.escape(limit.name)}([<>=!~][\w.,*<>=!~+-]*)", message)
    return any(set(text.strip(".,").split(",")) == set(str(limit.specifier).split(",")) for text in found)
