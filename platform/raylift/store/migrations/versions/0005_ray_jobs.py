"""Ray's Jobs API: the submission ids that clients chose, and the packages they uploaded.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "ray_submissions",
        sa.Column("submission_id", KEY, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_ray_submissions_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("submission_id", name="pk_ray_submissions"),
    )
    op.create_index("ix_ray_submissions_job_id", "ray_submissions", ["job_id"])
    op.create_table(
        "ray_packages",
        sa.Column("name", KEY, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_ray_packages"),
    )
    op.create_index("ix_ray_packages_expires_at", "ray_packages", ["expires_at"])


def downgrade() -> None:
    op.drop_table("ray_packages")
    op.drop_table("ray_submissions")
