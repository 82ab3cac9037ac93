"""Snapshot of the base environment for the resolver: its pins, its fixed limits, and conflicts with a lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from raylift.engines.environments.base import base_distributions, requirements_of, version_of
from raylift.engines.environments.locking.metadata_wheels import needs_metadata_wheel

_INSTALLERS: Final = frozenset({"pip", "setuptools", "wheel"})
_RAY_EXTRAS: Final = frozenset({"default", "serve"})


@dataclass(frozen=True)
class FrozenBase:
    """Distributions by canonical name."""

    distributions: Mapping[str, Distribution]

    @classmethod
    def read(cls) -> FrozenBase:
        return cls(base_distributions())

    def constraints(self) -> list[str]:
        """Return the pins of all packages except installers, which may be replaced."""
        return [pin for pin in self.pins() if pin.partition("==")[0] not in _INSTALLERS]

    def pins(self) -> list[str]:
        return [f"{name}=={version}" for name, version in self._versions.items()]

    def limits_of_ray(self) -> list[str]:
        """Return the pin of Ray and its requirements. They are fixed, because a job's worker is a process of Ray."""
        ray = self.distributions.get("ray")
        if ray is None:
            return []
        needs = (f"{need.name}{need.specifier}" for need in requirements_of(ray, _RAY_EXTRAS) if need.specifier)
        return [f"ray=={ray.version}", *dict.fromkeys(needs)]

    def not_on_index(self, *, no_index: bool) -> list[Distribution]:
        """Return distributions that uv cannot find by their pin: all but installers when it has no index.

        With an index only the necessary ones: metadata wheels of all would disturb builds from source.
        """
        found = self.distributions.items()
        return [dist for name, dist in found if name not in _INSTALLERS and (no_index or needs_metadata_wheel(dist))]

    def meets(self, need: Requirement) -> bool:
        """Return True where the base has a version that ``need`` allows. False for a direct reference."""
        version = self._versions.get(canonicalize_name(need.name))
        return need.url is None and version is not None and need.specifier.contains(version, prereleases=True)

    def broken_by(self, pins: Iterable[Requirement]) -> list[str]:
        """Return the base's packages whose requirements are met now and would not be with ``pins`` above the base."""
        above: dict[str, Version] = {
            canonicalize_name(pin.name): version for pin in pins if not self.meets(pin) and (version := _pinned(pin))
        }
        return [
            name
            for name, dist in self.distributions.items()
            if name not in above
            and not needs_metadata_wheel(dist)
            and any(self._breaks(need, above) for need in requirements_of(dist))
        ]

    @cached_property
    def _versions(self) -> dict[str, Version]:
        # Cached, because reading a version parses the distribution's whole metadata.
        return {name: version for name, dist in self.distributions.items() if (version := version_of(dist))}

    def _breaks(self, need: Requirement, above: Mapping[str, Version]) -> bool:
        version = above.get(canonicalize_name(need.name))
        return version is not None and not need.specifier.contains(version, prereleases=True) and self.meets(need)


def _pinned(pin: Requirement) -> Version | None:
    """Return the version of ``name==version``; None for a direct reference."""
    return next((Version(part.version) for part in pin.specifier if part.operator == "=="), None)
