"""The base environment: the distributions of the running interpreter, which every overlay sees below its own."""

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
    """Canonical name -> distribution; where a name occurs twice, the one that an import finds."""
    found: dict[str, Distribution] = {}
    for dist in distributions():
        name = _name_of(dist)
        if name:
            found.setdefault(canonicalize_name(name), dist)
    return found


def base_distribution(name: str) -> Distribution | None:
    """One distribution of the base, without reading all of them."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def base_site_directories() -> tuple[Path, ...]:
    """Where the base keeps its packages, in sys.path order: works in a venv, in conda and in a system Python."""
    directories = list(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        directories.insert(0, site.getusersitepackages())
    return tuple(path for path in dict.fromkeys(Path(d) for d in directories) if path.is_dir())


def satisfies_base(requirement: Requirement) -> bool:
    """Whether the base has what ``requirement`` asks for, the dependencies of its extras included."""
    return _satisfied(requirement, frozenset())


def requirements_of(dist: Distribution, extras: frozenset[str] = frozenset()) -> Iterator[Requirement]:
    """What ``dist`` needs on this machine: its own requirements and those of ``extras``."""
    for line in dist.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            # A base that pip accepted long ago: what cannot be read cannot be checked.
            continue
        if applies(requirement, extras):
            yield requirement


def applies(requirement: Requirement, extras: frozenset[str] = frozenset()) -> bool:
    """Whether the requirement's marker is true on this machine, for no extra or for one of ``extras``."""
    if requirement.marker is None:
        return True
    environment = {key: str(value) for key, value in default_environment().items()}
    return any(requirement.marker.evaluate(environment | {"extra": extra}) for extra in ("", *sorted(extras)))


def version_of(dist: Distribution) -> Version | None:
    """The distribution's version; None when it is not a PEP 440 version."""
    try:
        return Version(dist.version)
    except InvalidVersion:
        return None


def _satisfied(requirement: Requirement, path: frozenset[tuple[str, str]]) -> bool:
    dist = base_distribution(requirement.name)
    # A direct reference asks for that very file or commit, which the base's version number cannot vouch for.
    if dist is None or requirement.url is not None:
        return False
    version = version_of(dist)
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        return False
    # The base itself is consistent, so only what an extra adds is looked at. Extras may name each other in circles.
    asked = {(canonicalize_name(requirement.name), canonicalize_name(extra)) for extra in requirement.extras} - path
    if not asked:
        return True
    extras = frozenset(extra for _, extra in asked)
    return all(_satisfied(needed, path | asked) for needed in requirements_of(dist, extras))


def _name_of(dist: Distribution) -> str | None:
    # An interrupted uninstall leaves a directory without METADATA, for which importlib.metadata has no name.
    return next(iter(dist.metadata.get_all("Name") or ()), None)
