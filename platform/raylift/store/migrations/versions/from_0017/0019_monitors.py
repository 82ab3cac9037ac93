"""Monitors of versions, their windows and alerts.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "version_monitors",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("reference", sa.JSON(), nullable=True),
        sa.Column("is_read", sa.Boolean(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model_name", "version", name="pk_version_monitors"),
    )
    op.create_table(
        "monitor_windows",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("start_at", MOMENT, nullable=False),
        sa.Column("end_at", MOMENT, nullable=False),
        sa.Column("rows_seen", sa.BigInteger(), nullable=False),
        sa.Column("rows_sketched", sa.BigInteger(), nullable=False),
        sa.Column("is_compared", sa.Boolean(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("model_name", "version", "start_at", name="pk_monitor_windows"),
    )
    op.create_index("ix_monitor_windows_end_at", "monitor_windows", ["end_at"])
    op.create_table(
        "monitor_alerts",
        sa.Column("alert_id", KEY, nullable=False),
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("check", sa.String(length=32), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=True),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("limit", sa.Double(), nullable=False),
        sa.Column("window_at", MOMENT, nullable=False),
        sa.Column("raised_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("alert_id", name="pk_monitor_alerts"),
    )
    columns = ["model_name", "version", "raised_at", "alert_id"]
    op.create_index("ix_monitor_alerts_model_name_version_raised_at_alert_id", "monitor_alerts", columns)
    op.create_index("ix_monitor_alerts_raised_at", "monitor_alerts", ["raised_at"])


def downgrade() -> None:
    for table in ("monitor_alerts", "monitor_windows", "version_monitors"):
        op.drop_table(table)
