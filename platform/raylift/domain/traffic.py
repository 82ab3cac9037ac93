"""Traffic tables: the versions that answer requests for a model, and their shares."""

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
    """A version or an MLflow alias: exactly one of the two is set."""

    version: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        return self.version if self.version is not None else f"alias {self.alias!r}"


@dataclass(frozen=True, slots=True)
class Route:
    target: Target
    weight: float
    """Share of requests, relative to the sum of all weights."""


@dataclass(frozen=True, slots=True)
class Sticky:
    """Key of sticky routing: requests with the same value go to the same version.

    Exactly one is set: a header's name, or a dotted name in the JSON body, e.g. ``params.user`` or ``inputs.user``.
    """

    header: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class TrafficTable:
    routes: tuple[Route, ...]
    shadow: tuple[Target, ...] = ()
    """Versions that get a copy of each request; their answers are discarded."""
    sticky: Sticky | None = None

    @property
    def targets(self) -> tuple[Target, ...]:
        return (*(route.target for route in self.routes), *self.shadow)

    @property
    def sole_target(self) -> Target | None:
        """The only target, if one gets every request and there is no shadow. Requests then need no inspection."""
        weighted = [route.target for route in self.routes if route.weight > 0]
        return weighted[0] if len(weighted) == 1 and not self.shadow else None

    @property
    def aliases(self) -> frozenset[str]:
        return frozenset(target.alias for target in self.targets if target.alias is not None)


@dataclass(frozen=True, slots=True)
class TrafficRecord:
    """A model's table as stored. ``table`` is None after a DELETE: the newest answering version gets all requests."""

    model_name: str
    revision: int
    table: TrafficTable | None
    updated_at: datetime
    updated_by: str


class TrafficAction(StrEnum):
    PUT = "put"
    DELETE = "delete"
    ROLLBACK = "rollback"
    ROLLOUT = "rollout"
    """A step of a rollout, or its end."""
    ALIAS = "alias"
    """An alias was set, moved or deleted, through the platform's API or in MLflow."""


@dataclass(frozen=True, slots=True)
class TrafficChange:
    """One row of the audit: of a table (``revision``, ``before``, ``after``) or an alias (``alias`` and the versions)."""

    model_name: str
    sequence: int
    """Counts from 1 for each model."""
    at: datetime
    who: str
    action: TrafficAction
    revision: int | None = None
    """The table's revision after the change."""
    before: TrafficTable | None = None
    after: TrafficTable | None = None
    alias: str | None = None
    before_version: str | None = None
    after_version: str | None = None


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """An alias as last read from MLflow. ``version`` is None where it no longer exists."""

    model_name: str
    alias: str
    version: str | None
    revision: int
    """Counts the writes to this record, which tells an older reading from a newer one."""


def target_of(text: str) -> Target:
    """Parse a version number, or else an alias."""
    return Target(version=text) if text.isascii() and text.isdigit() else Target(alias=text)


def problems_of(table: TrafficTable) -> list[FieldError]:
    """Validate a table by itself. The existence of its versions is not checked."""
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
    """Add up weights by version. Routes without weight are left out."""
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
    """Return every target with the request field that names it."""
    routes = [(f"routes[{position}]", route.target) for position, route in enumerate(table.routes)]
    return routes + [(f"shadow[{position}]", target) for position, target in enumerate(table.shadow)]


def is_alias(text: str) -> bool:
    """True where MLflow accepts ``text`` as the name of an alias."""
    return _ALIAS.fullmatch(text) is not None and text.lower() != "latest" and not re.fullmatch(r"v\d+", text, re.IGNORECASE)
