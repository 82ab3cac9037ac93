"""Disk usage of overlays, each by itself and together: equal packages share their files through hard links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

_BUILT: Final = ("*/*/*/*.whl", "*/*/*/*/*.whl", "*/*/*/*/*/*.whl")
"""Paths of wheels built by uv, from a URL, from PyPI and from another index."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package in an overlay. Two overlays with an equal name and inode share its files."""

    name: str
    """``name==version``."""
    inode: int
    """Inode of its first file that is linked from uv's cache; 0 without one."""
    size: int
    """Bytes of its linked files."""


def packages_in(directory: Path) -> list[Package]:
    """Return the packages of the overlay in ``directory``, sorted by name."""
    places = {str(path.resolve()) for path in directory.glob("lib*/python*/site-packages")}
    return sorted((_package(dist) for dist in distributions(path=sorted(places))), key=lambda package: package.name)


def packages_from(record: Mapping[str, Any]) -> tuple[Package, ...]:
    """Read packages from an overlay's record; none from the record of an older release."""
    return tuple(Package(*fields) for fields in record.get("packages", ()))


def as_record(packages: Iterable[Package]) -> list[tuple[str, int, int]]:
    """Convert packages into the form that ``packages_from`` reads."""
    return [(package.name, package.inode, package.size) for package in packages]


def built_wheel_bytes(cache: Path) -> dict[str, int]:
    """Return the bytes in uv's cache of each package that it built from source: the source and the wheel."""
    sizes: Counter[str] = Counter()
    for sdists in cache.glob("sdists-v*"):
        for wheel in (path for pattern in _BUILT for path in sdists.glob(pattern)):
            name = _name_of(wheel)
            if name is not None:
                sizes[name] += size_of(wheel.parent)
    return sizes


def size_of(directory: Path) -> int:
    """Return the bytes of all files below ``directory``."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())


def shared_bytes(packages: Sequence[Sequence[Package]]) -> list[int]:
    """Return, per overlay, the bytes of packages that another overlay also has."""
    holders = _holders(packages)
    return [sum(package.size for package in each if holders[_same(package)] > 1) for each in packages]


def duplicate_bytes(packages: Sequence[Sequence[Package]]) -> int:
    """Return by how many bytes the sum of the overlays' sizes exceeds their disk usage."""
    sizes = {_same(package): package.size for each in packages for package in each}
    holders = _holders(packages)
    return sum((holders[same] - 1) * size for same, size in sizes.items())


def _holders(packages: Sequence[Sequence[Package]]) -> Counter[tuple[str, int]]:
    """Count the overlays that have each package."""
    return Counter(_same(package) for each in packages for package in each)


def _same(package: Package) -> tuple[str, int]:
    return package.name, package.inode


def _package(dist: Distribution) -> Package:
    linked = [status for status in _files(dist) if status[2] > 1]
    name = f"{canonicalize_name(dist.metadata['Name'])}=={dist.version}"
    return Package(name, linked[0][0] if linked else 0, sum(size for _, size, _ in linked))


def _files(dist: Distribution) -> Iterator[tuple[int, int, int]]:
    """Yield (inode, bytes, number of links) of each file."""
    for file in dist.files or ():
        path = Path(str(dist.locate_file(file)))
        if path.is_file():
            status = path.lstat()
            yield status.st_ino, status.st_size, status.st_nlink


def _name_of(wheel: Path) -> str | None:
    try:
        name, version, *_ = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename:
        return None
    return f"{name}=={version}"
