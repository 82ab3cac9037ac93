"""Workspaces in MLflow: their names there, and addresses of requests in one. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from raylift.domain.identifiers import DEFAULT_WORKSPACE

PREFIX: Final = "/raylift-workspace"
"""``/raylift-workspace/NAME/…`` at MLflow's server is ``/…`` in one workspace, for the platform's own requests."""

_MLFLOWS: Final = re.compile(r"[a-z0-9][-a-z0-9]{0,61}[a-z0-9]")
_RESERVED: Final = frozenset({"workspaces", "api", "ajax-api", "static-files"})
_OTHERS: Final = re.compile(r"[^a-z0-9]+")
_KEPT: Final = 50
_DIGITS: Final = 10


def mlflow_workspace(workspace: str) -> str:
    """Return a workspace's name in MLflow: its own, or a similar one with a digest where MLflow does not take it."""
    if _MLFLOWS.fullmatch(workspace) and workspace not in _RESERVED:
        return workspace
    digest = hashlib.sha256(workspace.encode()).hexdigest()[:_DIGITS]
    similar = _OTHERS.sub("-", workspace.lower()).strip("-")[:_KEPT].rstrip("-")
    return f"{similar}-{digest}" if similar else digest


def url_in_workspace(mlflow_url: str, workspace: str) -> str:
    """Return the address of MLflow's server for requests in a workspace."""
    return mlflow_url if workspace == DEFAULT_WORKSPACE else f"{mlflow_url}{PREFIX}/{workspace}"
