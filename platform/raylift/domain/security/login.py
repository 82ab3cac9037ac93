"""Sign-ins with an identity provider: persons, and their rights by group. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from raylift.domain.access import Role
from raylift.domain.errors import Forbidden
from raylift.domain.identifiers import OWNER

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._@-]+")
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Person:
    """A person whom the identity provider has proven."""

    subject: str
    """Issuer and the provider's unchanging id of the person."""
    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class GroupRights:
    """Rights of the members of a group."""

    group: str
    role: Role
    workspace: str


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """A sign-in that the person confirms on another device."""

    device_code: str
    """The platform's secret of this sign-in. Its caller sends it back."""
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_seconds: int
    pause_seconds: int
    """Seconds between two questions whether the person has confirmed."""


def rights_of(person: Person, rules: Sequence[GroupRights], workspace: str | None = None) -> GroupRights:
    """Return the rights of the first rule whose group the person is in, and whose workspace is the asked one.

    Raises:
        Forbidden: there is none.
    """
    own = [rule for rule in rules if rule.group in person.groups]
    if not own:
        raise Forbidden(f"{person.name} is in no group that may sign in. Ask an admin, who names groups in oidc.groups.")
    for rule in own:
        if workspace in (None, rule.workspace):
            return rule
    known = ", ".join(sorted({rule.workspace for rule in own}))
    raise Forbidden(f"{person.name} has no rights in the workspace {workspace!r}, only in {known}.")


def name_of(claim: str) -> str:
    """Return the name of a principal for the value of a claim. What names cannot have becomes a dash."""
    name = _NOT_IN_NAMES.sub("-", claim)[:_LONGEST_NAME].strip("._@-")
    if not OWNER.fullmatch(name):
        raise Forbidden(f"The provider names the person {claim[:100]!r}, which has no letter or digit. Set oidc.name_claim.")
    return name
