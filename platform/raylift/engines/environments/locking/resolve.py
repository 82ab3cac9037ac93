"""From requirements to a lock: the pinned packages that a script needs beyond the base environment."""

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
from raylift.engines.environments.locking.locked_files import LockedFile, files_of
from raylift.engines.environments.locking.metadata_wheels import write_stand_in
from raylift.engines.environments.locking.torch_backend import INDEX_HOST, options_of
from raylift.engines.environments.uv.commands import InstallerFailure, no_index_asked, run_uv
from raylift.engines.environments.uv.process import Cancelled

_TIMEOUT_SECONDS: Final = 120.0
_HTTP_SETTINGS: Final = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_RETRIES": "1"}
"""A resolution fetches small files: an index that is silent for this long is down, and somebody waits to hear it."""
_MAX_ROUNDS: Final = 3


def resolve(
    requirements: Sequence[str],
    *,
    cache_dir: Path | None = None,
    torch_backend: str = AUTO_TORCH_BACKEND,
    cancelled: Cancelled = lambda: False,
) -> tuple[str, ...]:
    """The sorted pins (``name==version`` or ``name @ url``) that ``requirements`` need beyond the base; () when none.

    The base's versions are kept wherever the requirements allow it. Where they do not, the requirements win, and the base's
    packages that would not work beside them are replaced as well. Only Ray and what Ray needs stays as it is.

    A build of PyTorch that comes from its own index is pinned by its address: the lock says all that an installation needs.

    Args:
        requirements: PEP 508 lines.
        cache_dir: Where uv keeps downloads, unless its own variables name a place; None for uv's default.
        torch_backend: Which build of PyTorch is taken.
        cancelled: Asked while uv resolves; once true, it is ended.

    Raises:
        EnvironmentUnresolvable: no packages meet the requirements, or the index cannot be asked.
        BuildCancelled: ``cancelled`` said so.
    """
    wanted = [requirement for requirement in map(_parse, requirements) if applies(requirement)]
    for requirement in wanted:
        _refuse_another_ray(requirement)
    if all(satisfies_base(requirement) for requirement in wanted):
        return ()
    base = FrozenBase.read()
    uv = _Uv(cache_dir, torch_backend, cancelled)
    # All of them, satisfied ones too: what a new package needs has to fit everything that was asked for by name.
    lines = [str(requirement) for requirement in wanted]
    try:
        pins = _pins(lines, base, uv)
        lock = tuple(sorted({str(pin) for pin in pins if not base.meets(pin)}))
        return lock if torch_backend == AUTO_TORCH_BACKEND else _with_addresses(lock, uv)
    except InstallerFailure as failure:
        raise _unresolvable(failure, lines, base) from None


@dataclass(frozen=True, slots=True)
class _Uv:
    """Options that each run of uv has."""

    cache_dir: Path | None
    torch_backend: str
    cancelled: Cancelled


def _with_addresses(lock: tuple[str, ...], uv: _Uv) -> tuple[str, ...]:
    """``lock`` with the addresses of what PyTorch's own index has."""
    files = files_of(lock, cache_dir=uv.cache_dir, torch_backend=uv.torch_backend, cancelled=uv.cancelled)
    addresses = {file.name: address for file in files if (address := _address(file)) is not None}
    pins = map(Requirement, lock)
    return tuple(sorted(addresses.get(canonicalize_name(pin.name), str(pin)) for pin in pins))


def _address(file: LockedFile) -> str | None:
    host = urlsplit(file.url or "").hostname or ""
    if host != INDEX_HOST and not host.endswith(f".{INDEX_HOST}"):
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
    return _with_what_breaks(lines, pins, base, uv)


def _with_what_breaks(lines: Sequence[str], pins: list[Requirement], base: FrozenBase, uv: _Uv) -> list[Requirement]:
    """``pins``, together with fitting versions of the base's packages that would break beneath them."""
    asked = list(lines)
    for _ in range(_MAX_ROUNDS):
        broken = base.broken_by(pins)
        if not broken:
            break
        asked += broken
        try:
            pins = _compile(asked, base.limits_of_ray(), base, uv)
        except InstallerFailure as failure:
            if not failure.no_solution:
                raise
            # The user gets what they asked for: only they know whether the script imports what breaks.
            break
    return pins


def _compile(lines: Sequence[str], constraints: Sequence[str], base: FrozenBase, uv: _Uv) -> list[Requirement]:
    with tempfile.TemporaryDirectory(prefix="raylift-resolve-") as name:
        folder = Path(name)
        limits = folder / "constraints.txt"
        limits.write_text("\n".join(constraints))
        # uv prefers the versions it finds in its output file: no more of the base is replaced than must be.
        lock = folder / "lock.txt"
        lock.write_text("\n".join(base.pins()))
        stand_ins = folder / "stand-ins"
        stand_ins.mkdir()
        for dist in base.in_need_of_stand_ins(no_index=no_index_asked(os.environ)):
            write_stand_in(dist, stand_ins)
        options = (*options_of(uv.torch_backend), "--constraints", str(limits), "--output-file", str(lock))
        run_uv(
            ["pip", "compile", "-", "--no-header", "--no-annotate", "--python", sys.executable, *options],
            stdin="\n".join(lines) + "\n",
            cache_dir=uv.cache_dir,
            cancelled=uv.cancelled,
            timeout=_TIMEOUT_SECONDS,
            find_links=stand_ins,
            defaults=_HTTP_SETTINGS,
        )
        return [Requirement(line) for line in lock.read_text().splitlines() if line.strip() and not line.startswith(("#", "-"))]


def _unresolvable(failure: InstallerFailure, lines: Sequence[str], base: FrozenBase) -> EnvironmentUnresolvable:
    if failure.no_solution:
        detail = f"No packages meet the requirements {', '.join(lines)}: {failure.message}"
        # uv says of a limit of Ray's only "you require".
        limits = [limit for limit in base.limits_of_ray() if _quotes(failure.message, Requirement(limit))]
        if limits:
            detail += f" Ray, which every job runs on, needs {', '.join(limits)}."
    else:
        detail = f"The requirements {', '.join(lines)} could not be resolved: {failure.message}"
    return EnvironmentUnresolvable(detail, requirements=tuple(lines))


def _quotes(message: str, limit: Requirement) -> bool:
    """Whether ``message`` has the limit, its parts in any order."""
    found = re.findall(rf"(?<![\w.-]){re.escape(limit.name)}([<>=!~][\w.,*<>=!~+-]*)", message)
    return any(set(text.strip(".,").split(",")) == set(str(limit.specifier).split(",")) for text in found)
