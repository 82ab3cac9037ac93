"""Schedules, and the history of their moments.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("schedule_id", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("owner", KEY, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("timetable", sa.JSON(), nullable=False),
        sa.Column("template", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("considered_until", MOMENT, nullable=False),
        sa.Column("wakes_at", MOMENT, nullable=True),
        sa.Column("waiting_at", MOMENT, nullable=True),
        sa.Column("paused_at", MOMENT, nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("script_sha256", KEY, nullable=False),
        sa.Column("project_sha256", KEY, nullable=True),
        sa.ForeignKeyConstraint(["script_sha256"], ["scripts.sha256"], name="fk_schedules_script_sha256"),
        sa.ForeignKeyConstraint(["project_sha256"], ["projects.sha256"], name="fk_schedules_project_sha256"),
        sa.PrimaryKeyConstraint("schedule_id", name="pk_schedules"),
    )
    op.create_index("ix_schedules_workspace_name", "schedules", ["workspace", "name"], unique=True)
    op.create_index("ix_schedules_wakes_at", "schedules", ["wakes_at"])
    op.create_index("ix_schedules_script_sha256", "schedules", ["script_sha256"])
    op.create_index("ix_schedules_project_sha256", "schedules", ["project_sha256"])
    op.create_table(
        "schedule_runs",
        sa.Column("schedule_id", KEY, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("manual", sa.Boolean(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("job_id", KEY, nullable=True),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.schedule_id"], name="fk_schedule_runs_schedule_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("schedule_id", "due_at", name="pk_schedule_runs"),
    )
    op.create_index("ix_schedule_runs_job_id", "schedule_runs", ["job_id"])


def downgrade() -> None:
    op.drop_table("schedule_runs")
    op.drop_table("schedules")
