"""Windows of versions' volume and quality.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.add_column("version_monitors", sa.Column("scored_until", MOMENT, nullable=True))
    op.add_column("version_monitors", sa.Column("scores", sa.JSON(), nullable=True))
    op.create_table(
        "monitor_quality",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("start_at", MOMENT, nullable=False),
        sa.Column("end_at", MOMENT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("expected_rows", sa.Double(), nullable=True),
        sa.Column("feedback", sa.Integer(), nullable=False),
        sa.Column("joined", sa.Integer(), nullable=False),
        sa.Column("feedback_since", MOMENT, nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("baseline", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("model_name", "version", "start_at", name="pk_monitor_quality"),
    )
    op.create_index("ix_monitor_quality_end_at", "monitor_quality", ["end_at"])


def downgrade() -> None:
    op.drop_table("monitor_quality")
    op.drop_column("version_monitors", "scores")
    op.drop_column("version_monitors", "scored_until")
