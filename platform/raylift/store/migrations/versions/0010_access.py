"""Keys, the audit, and workspaces of jobs, sweeps and models.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")

INDICES = {
    "ix_jobs_workspace_created_at_job_id": ("jobs", ["workspace", "created_at", "job_id"]),
    "ix_jobs_workspace_status_created_at_job_id": ("jobs", ["workspace", "status", "created_at", "job_id"]),
    "ix_sweeps_workspace_created_at_sweep_id": ("sweeps", ["workspace", "created_at", "sweep_id"]),
}


def upgrade() -> None:
    for table in ("jobs", "sweeps"):
        op.add_column(table, sa.Column("workspace", KEY, nullable=False, server_default="default"))
    for name, (table, columns) in INDICES.items():
        op.create_index(name, table, columns)
    op.create_table(
        "access_keys",
        sa.Column("key_id", KEY, nullable=False),
        sa.Column("sha256", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("last_used_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("key_id", name="pk_access_keys"),
    )
    op.create_index("ix_access_keys_sha256", "access_keys", ["sha256"], unique=True)
    op.create_table(
        "model_workspaces",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("workspace", KEY, nullable=False),
        sa.PrimaryKeyConstraint("model_name", name="pk_model_workspaces"),
    )
    op.create_table(
        "audit_entries",
        sa.Column("entry_id", KEY, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("who", KEY, nullable=False),
        sa.Column("key_id", KEY, nullable=True),
        sa.Column("workspace", KEY, nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("action", KEY, nullable=False),
        sa.Column("target", KEY, nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("entry_id", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_at_entry_id", "audit_entries", ["at", "entry_id"])
    for column in ("who", "workspace", "target"):
        op.create_index(f"ix_audit_entries_{column}_at_entry_id", "audit_entries", [column, "at", "entry_id"])


def downgrade() -> None:
    for table in ("audit_entries", "model_workspaces", "access_keys"):
        op.drop_table(table)
    for name, (table, _) in INDICES.items():
        op.drop_index(name, table)
    for table in ("jobs", "sweeps"):
        with op.batch_alter_table(table) as altered:
            altered.drop_column("workspace")
