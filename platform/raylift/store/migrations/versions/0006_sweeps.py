"""Sweeps: groups of jobs of one script.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sweeps",
        sa.Column("sweep_id", KEY, nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("entered_at", MOMENT, nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("cancel_requested_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("mlflow_experiment_id", sa.Text(), nullable=True),
        sa.Column("parent_run_id", sa.Text(), nullable=True),
        sa.Column("best_job_id", KEY, nullable=True),
        sa.PrimaryKeyConstraint("sweep_id", name="pk_sweeps"),
    )
    op.create_index("ix_sweeps_created_at_sweep_id", "sweeps", ["created_at", "sweep_id"])
    op.create_index(
        "ix_sweeps_unfinished",
        "sweeps",
        ["created_at"],
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "sweep_jobs",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("sweep_id", KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_sweep_jobs_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.sweep_id"], name="fk_sweep_jobs_sweep_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_sweep_jobs"),
    )
    op.create_index("ix_sweep_jobs_sweep_id_position", "sweep_jobs", ["sweep_id", "position"])


def downgrade() -> None:
    op.drop_table("sweep_jobs")
    op.drop_table("sweeps")
