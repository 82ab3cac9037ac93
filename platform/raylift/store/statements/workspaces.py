"""Workspaces of models. A model belongs to the workspace that first trained it; one without a row, to the default one."""

from __future__ import annotations

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from raylift.domain.errors import ModelTaken
from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.store.engine.access_tables import ModelWorkspaceRow
from raylift.store.engine.tables import DeploymentRow, JobRow
from raylift.store.engine.transactions import insert_into


def claim_model(session: Session, model_name: str | None, workspace: str) -> None:
    """Give a new model to the workspace. Raises ModelTaken if it belongs to another."""
    check_model(session, model_name, workspace)
    if model_name is None or workspace == DEFAULT_WORKSPACE:
        return
    row = {"model_name": model_name, "workspace": workspace}
    session.execute(insert_into(session, ModelWorkspaceRow).on_conflict_do_nothing(), row)
    # Another request may have been faster.
    check_model(session, model_name, workspace)


def check_model(session: Session, model_name: str | None, workspace: str) -> None:
    """Raise ModelTaken if the model belongs to another workspace."""
    if model_name is None:
        return
    owner = session.scalar(select(ModelWorkspaceRow.workspace).where(ModelWorkspaceRow.model_name == model_name))
    if owner is None and workspace != DEFAULT_WORKSPACE and _exists(session, model_name):
        owner = DEFAULT_WORKSPACE
    if owner not in (None, workspace):
        raise ModelTaken(f"The name {model_name!r} is taken. Choose another model_name.", model_name=model_name)


def _exists(session: Session, model_name: str) -> bool:
    jobs = exists().where(JobRow.model_name == model_name)
    deployments = exists().where(DeploymentRow.model_name == model_name)
    return bool(session.scalar(select(or_(jobs, deployments))))
