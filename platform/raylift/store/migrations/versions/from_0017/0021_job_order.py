"""Order of jobs: which come after which, and the datasets that they make.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("output", sa.JSON(), nullable=True))
    op.create_table(
        "job_after",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("after", KEY, nullable=False),
        sa.Column("is_waiting", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_after_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "after", name="pk_job_after"),
    )
    op.create_index("ix_job_after_after_job_id", "job_after", ["after", "job_id"])
    op.create_index("ix_job_after_is_waiting_job_id", "job_after", ["is_waiting", "job_id"])


def downgrade() -> None:
    op.drop_table("job_after")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("output")
