"""The node that is set aside for a large waiting job; an index for the counts of jobs.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
COUNTS = "ix_jobs_status_workspace_reason"


def upgrade() -> None:
    op.create_table(
        "reservations",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_reservations"),
    )
    op.create_index(COUNTS, "jobs", ["status", "workspace", "reason"])


def downgrade() -> None:
    op.drop_index(COUNTS, "jobs")
    op.drop_table("reservations")
