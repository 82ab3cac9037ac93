"""The base environment at one moment, as the resolver looks at it: what is pinned, what may not give way, what would break."""

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
from raylift.engines.environments.locking.metadata_wheels import needs_stand_in

_INSTALLERS: Final = frozenset({"pip", "setuptools", "wheel"})
_RAY_EXTRAS: Final = frozenset({"default", "serve"})


@dataclass(frozen=True)
class FrozenBase:
    """``distributions`` by canonical name."""

    distributions: Mapping[str, Distribution]

    @classmethod
    def read(cls) -> FrozenBase:
        return cls(base_distributions())

    def constraints(self) -> list[str]:
        """The pins of what a script can run on: what only installs packages is free to be replaced."""
        return [pin for pin in self.pins() if pin.partition("==")[0] not in _INSTALLERS]

    def pins(self) -> list[str]:
        return [f"{name}=={version}" for name, version in self._versions.items()]

    def limits_of_ray(self) -> list[str]:
        """What cannot give way: a job's worker is Ray's own process, in the overlay too."""
        ray = self.distributions.get("ray")
        if ray is None:
            return []
        needs = (f"{need.name}{need.specifier}" for need in requirements_of(ray, _RAY_EXTRAS) if need.specifier)
        return [f"ray=={ray.version}", *dict.fromkeys(needs)]

    def in_need_of_stand_ins(self, *, no_index: bool) -> list[Distribution]:
        """Distributions that uv cannot find by their pin: a few, or nearly all when it asks no index.

        Nearly: with an index, stand-ins of everything would get into the way of packages that are built from source.
        """
        found = self.distributions.items()
        return [dist for name, dist in found if name not in _INSTALLERS and (no_index or needs_stand_in(dist))]

    def meets(self, need: Requirement) -> bool:
        """Whether the base has a version that ``need`` allows. Never for a direct reference."""
        version = self._versions.get(canonicalize_name(need.name))
        return need.url is None and version is not None and need.specifier.contains(version, prereleases=True)

    def broken_by(self, pins: Iterable[Requirement]) -> list[str]:
        """The distributions that work now, and whose needs are no longer met once ``pins`` lie above the base."""
        above: dict[str, Version] = {
            canonicalize_name(pin.name): version for pin in pins if not self.meets(pin) and (version := _pinned(pin))
        }
        return [
            name
            for name, dist in self.distributions.items()
            if name not in above
            and not needs_stand_in(dist)
            and any(self._breaks(need, above) for need in requirements_of(dist))
        ]

    @cached_property
    def _versions(self) -> dict[str, Version]:
        # Once: each look at a version reads and parses the distribution's whole metadata.
        return {name: version for name, dist in self.distributions.items() if (version := version_of(dist))}

    def _breaks(self, need: Requirement, above: Mapping[str, Version]) -> bool:
        version = above.get(canonicalize_name(need.name))
        return version is not None and not need.specifier.contains(version, prereleases=True) and self.meets(need)


def _pinned(pin: Requirement) -> Version | None:
    """The version of ``name==version``; None of a direct reference, whose version is known only once it is built."""
    return next((Version(part.version) for part in pin.specifier if part.operator == "=="), None)
