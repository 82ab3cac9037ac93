"""Placement groups by their ids.

Ray 2.60 finds groups by name in one namespace only; the constructor of a group takes the id, of a private class.
"""

from __future__ import annotations

from typing import Any

from ray._raylet import PlacementGroupID  # pyright: ignore[reportMissingTypeStubs, reportAttributeAccessIssue, reportUnknownVariableType]


def group_from_hex(group_id: str) -> Any:
    """Return Ray's id of a placement group."""
    return PlacementGroupID.from_hex(group_id)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
