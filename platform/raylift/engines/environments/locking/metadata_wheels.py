"""Metadata-only wheels of base packages that no index has, for the resolver.

An index cannot find an editable install, a locally built wheel or a local version (``torch==2.9.0+cpu``) by its pin. The
resolver gets a wheel with only that package's metadata instead. The lock omits packages of the base, so such a wheel is never
installed. Without any index (a directory of wheels on a closed network) the whole base is described in this way.
"""

from __future__ import annotations

import zipfile
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from raylift.engines.environments.base import version_of

_FIELDS: Final = ("Requires-Python", "Requires-Dist", "Provides-Extra")
_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: raylift\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def needs_metadata_wheel(dist: Distribution) -> bool:
    """Return True where the distribution came from a file, a folder or a repository, or has a local version."""
    version = version_of(dist)
    return version is not None and (version.local is not None or dist.read_text("direct_url.json") is not None)


def write_metadata_wheel(dist: Distribution, folder: Path) -> Path:
    """Write the metadata wheel of ``dist`` into ``folder``."""
    name, version = canonicalize_name(dist.metadata["Name"]), version_of(dist)
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"{field}: {value}" for field in _FIELDS for value in dist.metadata.get_all(field) or ()]
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", _WHEEL)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return wheel
