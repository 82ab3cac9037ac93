"""Feedback to predictions.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("request_id", KEY, nullable=False),
        sa.Column("true_value", sa.JSON(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("model_name", "version", "request_id", name="pk_feedback"),
    )
    op.create_index(
        "ix_feedback_model_name_version_received_at_request_id",
        "feedback",
        ["model_name", "version", "received_at", "request_id"],
    )
    op.create_index("ix_feedback_received_at", "feedback", ["received_at"])


def downgrade() -> None:
    op.drop_table("feedback")
