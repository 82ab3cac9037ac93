"""Time series of versions.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "version_intervals",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("step_seconds", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("start_at", MOMENT, nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("queued", sa.Double(), nullable=False),
        sa.Column("replicas", sa.Integer(), nullable=False),
        sa.Column("warm", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model_name", "version", "step_seconds", "start_at", name="pk_version_intervals"),
    )
    op.create_index("ix_version_intervals_step_seconds_start_at", "version_intervals", ["step_seconds", "start_at"])
    op.create_table(
        "series_baselines",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("replicas", sa.Integer(), nullable=False),
        sa.Column("warm", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model_name", "version", name="pk_series_baselines"),
    )
    op.create_table(
        "series_clock",
        sa.Column("name", KEY, nullable=False),
        sa.Column("recorded_until", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_series_clock"),
    )


def downgrade() -> None:
    for table in ("series_clock", "series_baselines", "version_intervals"):
        op.drop_table(table)
