"""Webhooks, and the outbox of their deliveries.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")
IS_PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("format", sa.String(length=32), nullable=False),
        sa.Column("shown_url", sa.Text(), nullable=False),
        sa.Column("filter", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("paused_at", MOMENT, nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("former_secret_until", MOMENT, nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_workspace_name", "webhooks", ["workspace", "name"], unique=True)
    op.create_table(
        "webhook_deliveries",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("delivery_id", KEY, nullable=False),
        sa.Column("webhook_id", KEY, nullable=False),
        sa.Column("event_type", KEY, nullable=False),
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("subject", KEY, nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("retried_since", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_attempt_at", MOMENT, nullable=True),
        sa.Column("last_status_code", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_answer", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.webhook_id"], name="fk_webhook_deliveries_webhook_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sequence", name="pk_webhook_deliveries"),
        sqlite_autoincrement=True,
    )
    table = "webhook_deliveries"
    op.create_index("ix_webhook_deliveries_delivery_id", table, ["delivery_id"], unique=True)
    op.create_index("ix_webhook_deliveries_occurred_at", table, ["occurred_at"])
    op.create_index("ix_webhook_deliveries_webhook_id_sequence", table, ["webhook_id", "sequence"])
    op.create_index("ix_webhook_deliveries_webhook_id_status_sequence", table, ["webhook_id", "status", "sequence"])
    for name, columns in (("due", ["webhook_id", "due_at"]), ("order", ["webhook_id", "subject", "sequence"])):
        where = {"sqlite_where": IS_PENDING, "postgresql_where": IS_PENDING}
        op.create_index(f"ix_webhook_deliveries_{name}", table, columns, **where)


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
