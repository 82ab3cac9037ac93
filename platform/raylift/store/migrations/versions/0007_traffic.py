"""Traffic tables, aliases as they were last seen, and the audit of both.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "traffic_tables",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("table", sa.JSON(), nullable=True),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model_name", name="pk_traffic_tables"),
    )
    op.create_table(
        "traffic_changes",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.Column("alias", KEY, nullable=True),
        sa.Column("before_version", KEY, nullable=True),
        sa.Column("after_version", KEY, nullable=True),
        sa.PrimaryKeyConstraint("model_name", "sequence", name="pk_traffic_changes"),
    )
    op.create_table(
        "model_aliases",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("alias", KEY, nullable=False),
        sa.Column("version", KEY, nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("announced_by", sa.Text(), nullable=True),
        sa.Column("announced_as", sa.String(length=32), nullable=True),
        sa.Column("announced_version", KEY, nullable=True),
        sa.Column("announced_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("model_name", "alias", name="pk_model_aliases"),
    )


def downgrade() -> None:
    op.drop_table("model_aliases")
    op.drop_table("traffic_changes")
    op.drop_table("traffic_tables")
