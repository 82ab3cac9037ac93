"""Rollouts, and gates of jobs.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")
IS_PENDING = sa.text("outcome = 'pending'")
IS_ACTIVE = sa.text("finished_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "rollouts",
        sa.Column("rollout_id", KEY, nullable=False),
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("champion", KEY, nullable=False),
        sa.Column("candidate", KEY, nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("restore", sa.JSON(), nullable=True),
        sa.Column("had_table", sa.Boolean(), nullable=False),
        sa.Column("traffic_revision", sa.Integer(), nullable=False),
        sa.Column("alias_before", KEY, nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("step_at", MOMENT, nullable=True),
        sa.Column("paused_at", MOMENT, nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("watch", sa.JSON(), nullable=False),
        sa.Column("history", sa.JSON(), nullable=False),
        sa.Column("job_id", KEY, nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("rollout_id", name="pk_rollouts"),
    )
    op.create_index("ix_rollouts_finished_at", "rollouts", ["finished_at"])
    op.create_index("ix_rollouts_workspace_rollout_id", "rollouts", ["workspace", "rollout_id"])
    op.create_index("ix_rollouts_model_name_rollout_id", "rollouts", ["model_name", "rollout_id"])
    op.create_index(
        "ix_rollouts_active",
        "rollouts",
        ["model_name"],
        unique=True,
        sqlite_where=IS_ACTIVE,
        postgresql_where=IS_ACTIVE,
    )
    op.create_table(
        "job_gates",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("champion", KEY, nullable=True),
        sa.Column("version", KEY, nullable=True),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("rollout_id", KEY, nullable=True),
        sa.Column("decided_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_gates_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_gates"),
    )
    op.create_index(
        "ix_job_gates_pending",
        "job_gates",
        ["job_id"],
        sqlite_where=IS_PENDING,
        postgresql_where=IS_PENDING,
    )


def downgrade() -> None:
    op.drop_table("job_gates")
    op.drop_table("rollouts")
