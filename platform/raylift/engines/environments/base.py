"""The base environment: distributions of the running interpreter, which every overlay can import."""

from __future__ import annotations

import site
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version


def base_distributions() -> dict[str, Distribution]:
    """Return distributions by canonical name. Of two with one name, the first on sys.path counts."""
    found: dict[str, Distribution] = {}
    for dist in distributions():
        name = _name_of(dist)
        if name:
            found.setdefault(canonicalize_name(name), dist)
    return found


def base_distribution(name: str) -> Distribution | None:
    """Return one distribution of the base; None where it is not installed."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def base_site_directories() -> tuple[Path, ...]:
    """Return the base's site-packages directories in sys.path order, for a venv, conda or a system Python."""
    directories = list(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        directories.insert(0, site.getusersitepackages())
    return tuple(path for path in dict.fromkeys(Path(d) for d in directories) if path.is_dir())


def satisfies_base(requirement: Requirement) -> bool:
    """Return True where the base satisfies ``requirement`` with the dependencies of its extras."""
    return _satisfied(requirement, frozenset())


def requirements_of(dist: Distribution, extras: frozenset[str] = frozenset()) -> Iterator[Requirement]:
    """Yield the requirements of ``dist`` and of ``extras`` that apply to this machine."""
    for line in dist.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            # Old metadata that pip accepted. It cannot be checked.
            continue
        if applies(requirement, extras):
            yield requirement


def applies(requirement: Requirement, extras: frozenset[str] = frozenset()) -> bool:
    """Return True where the requirement's marker holds on this machine, without an extra or with one of ``extras``."""
    if requirement.marker is None:
        return True
    environment = {key: str(value) for key, value in default_environment().items()}
    return any(requirement.marker.evaluate(environment | {"extra": extra}) for extra in ("", *sorted(extras)))


def version_of(dist: Distribution) -> Version | None:
    """Return the distribution's version; None when it does not follow PEP 440."""
    try:
        return Version(dist.version)
    except InvalidVersion:
        return None


def _satisfied(requirement: Requirement, path: frozenset[tuple[str, str]]) -> bool:
    dist = base_distribution(requirement.name)
    # A direct reference means one file or commit, which a version number cannot identify.
    if dist is None or requirement.url is not None:
        return False
    version = version_of(dist)
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        return False
    # The base is consistent, so only the extras need a check. Extras may refer to each other in circles.
    asked = {(canonicalize_name(requirement.name), canonicalize_name(extra)) for extra in requirement.extras} - path
    if not asked:
        return True
    extras = frozenset(extra for _, extra in asked)
    return all(_satisfied(needed, path | asked) for needed in requirements_of(dist, extras))


def _name_of(dist: Distribution) -> str | None:
    # An interrupted uninstall leaves a directory without METADATA, and so without a name.
    return next(iter(dist.metadata.get_all("Name") or ()), None)
