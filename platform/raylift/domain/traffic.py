"""Which versions of a model answer requests that name only the model, and in which shares."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from raylift.domain.errors import FieldError

MAX_ROUTES: Final = 100
LEAST_WEIGHT: Final = 1e-6
MOST_WEIGHT: Final = 1e9

_ALIAS: Final = re.compile(r"[\w-]{1,255}")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_NAME: Final = r"[^.\s\x00-\x1f\x7f\ud800-\udfff]{1,128}"
_FIELD: Final = re.compile(rf"{_NAME}(\.{_NAME}){{0,7}}")


@dataclass(frozen=True, slots=True)
class Target:
    """A version, or an MLflow alias that stands for one: exactly one of the two."""

    version: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        return self.version if self.version is not None else f"alias {self.alias!r}"


@dataclass(frozen=True, slots=True)
class Route:
    target: Target
    weight: float
    """Its share is this part of the sum of all weights."""


@dataclass(frozen=True, slots=True)
class Sticky:
    """What of a request decides which version it goes to, so that the same value keeps meeting the same version.

    Exactly one of a header's name, and a dotted name in the JSON body, e.g. ``params.user`` or ``inputs.user``.
    """

    header: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class TrafficTable:
    routes: tuple[Route, ...]
    shadow: tuple[Target, ...] = ()
    """Versions that get a copy of each request; their answers are thrown away."""
    sticky: Sticky | None = None

    @property
    def targets(self) -> tuple[Target, ...]:
        return (*(route.target for route in self.routes), *self.shadow)

    @property
    def sole_target(self) -> Target | None:
        """What gets every request and nothing else does: then nobody has to look at the requests themselves."""
        weighted = [route.target for route in self.routes if route.weight > 0]
        return weighted[0] if len(weighted) == 1 and not self.shadow else None

    @property
    def aliases(self) -> frozenset[str]:
        return frozenset(target.alias for target in self.targets if target.alias is not None)


@dataclass(frozen=True, slots=True)
class TrafficRecord:
    """A model's table as the store has it. ``table`` is None after a DELETE: then the newest version that answers gets all."""

    model_name: str
    revision: int
    table: TrafficTable | None
    updated_at: datetime
    updated_by: str


class TrafficAction(StrEnum):
    PUT = "put"
    DELETE = "delete"
    ROLLBACK = "rollback"
    ALIAS = "alias"
    """An alias was moved, set or deleted: by the platform's API, or in MLflow."""


@dataclass(frozen=True, slots=True)
class TrafficChange:
    """One row of the audit. Of a table (``revision``, ``before``, ``after``) or of an alias (``alias`` and the versions)."""

    model_name: str
    sequence: int
    """1, 2, 3 … for each model."""
    at: datetime
    who: str
    action: TrafficAction
    revision: int | None = None
    """The revision that the table has since."""
    before: TrafficTable | None = None
    after: TrafficTable | None = None
    alias: str | None = None
    before_version: str | None = None
    after_version: str | None = None


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """An alias as the platform last saw it in MLflow; ``version`` is None where it was seen to be gone."""

    model_name: str
    alias: str
    version: str | None
    revision: int
    """Counts everything that was written here, so that a look that began earlier can be told from a later one."""


def target_of(text: str) -> Target:
    """A version's number, or else an alias."""
    return Target(version=text) if text.isascii() and text.isdigit() else Target(alias=text)


def problems_of(table: TrafficTable) -> list[FieldError]:
    """What is wrong with a table by itself, whatever versions there are."""
    errors = [*_problems_of_weights(table.routes), *_problems_of_targets(table)]
    sticky = table.sticky
    if sticky is not None and (sticky.header is None) == (sticky.field is None):
        errors.append(FieldError("sticky", "must have either header or field"))
    elif sticky is not None and sticky.header is not None and not _HEADER.fullmatch(sticky.header):
        errors.append(FieldError("sticky.header", "is not the name of a header"))
    elif sticky is not None and sticky.field is not None and not _FIELD.fullmatch(sticky.field):
        errors.append(FieldError("sticky.field", "must be a name like params.user, with at most eight parts"))
    return errors


def weights_of(routes: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Version → weight. Routes that came to mean the same version count together; those without weight are left out."""
    weights: dict[str, float] = {}
    for version, weight in routes:
        if weight > 0:
            weights[version] = weights.get(version, 0.0) + weight
    return weights


def choose_weighted(weights: Mapping[str, float], chance: float) -> str:
    """The version that ``chance`` (0 ≤ chance < 1, uniform) falls to, by weight. ``weights`` has at least one, all positive."""
    left = chance * math.fsum(weights.values())
    for version, weight in weights.items():
        left -= weight
        if left < 0:
            return version
    return next(reversed(list(weights)))  # Rounding, at the very end of the range.


def choose_sticky(weights: Mapping[str, float], key: str, *, salt: str) -> str:
    """The version that ``key`` stays with, by weight, among all keys.

    Weighted rendezvous hashing: when a weight grows or shrinks, or a version comes or goes, only as many keys move as must,
    and none between two versions whose weights did not change. ``salt`` (the model's name) keeps models independent.
    """
    return min(weights, key=lambda version: (_distance(version, key, salt) / weights[version], version))


def _distance(version: str, key: str, salt: str) -> float:
    """Exponentially distributed: the least of several, each over its weight, falls to each as often as its weight says."""
    digest = blake2b("\0".join((salt, version, key)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return -math.log((int.from_bytes(digest) + 1) / 2**64)


def _problems_of_weights(routes: Sequence[Route]) -> list[FieldError]:
    if not routes:
        return [FieldError("routes", "must have at least one; DELETE the table to let the newest ready version answer")]
    if len(routes) > MAX_ROUTES:
        return [FieldError("routes", f"must not have more than {MAX_ROUTES}")]
    errors = [
        FieldError(f"routes[{position}].weight", f"must be 0, or between {LEAST_WEIGHT:g} and {MOST_WEIGHT:g}")
        for position, route in enumerate(routes)
        if not (route.weight == 0 or LEAST_WEIGHT <= route.weight <= MOST_WEIGHT)
    ]
    if not errors and not any(route.weight for route in routes):
        errors.append(FieldError("routes", "must have at least one whose weight is above 0"))
    return errors


def _problems_of_targets(table: TrafficTable) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(table.shadow) > MAX_ROUTES:
        errors.append(FieldError("shadow", f"must not have more than {MAX_ROUTES}"))
    seen: set[Target] = set()
    for field, target in named_targets(table):
        if (target.version is None) == (target.alias is None):
            errors.append(FieldError(field, "must have either version or alias"))
        elif target.version is not None and not _VERSION.fullmatch(target.version):
            errors.append(FieldError(field, f"{target.version[:50]!r} is not a version's number"))
        elif target.alias is not None and not is_alias(target.alias):
            errors.append(FieldError(field, f"{target.alias[:50]!r} is not the name of an alias"))
        elif target in seen:
            errors.append(FieldError(field, f"{target} is named twice"))
        seen.add(target)
    return errors


def named_targets(table: TrafficTable) -> list[tuple[str, Target]]:
    """Every target with the field of a request that names it."""
    routes = [(f"routes[{position}]", route.target) for position, route in enumerate(table.routes)]
    return routes + [(f"shadow[{position}]", target) for position, target in enumerate(table.shadow)]


def is_alias(text: str) -> bool:
    """Whether MLflow takes ``text`` as an alias's name."""
    return _ALIAS.fullmatch(text) is not None and text.lower() != "latest" and not re.fullmatch(r"v\d+", text, re.IGNORECASE)
