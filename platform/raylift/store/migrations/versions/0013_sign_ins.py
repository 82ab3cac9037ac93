"""Keys of sign-ins with an identity provider; quotas by workspace and owner; workspaces of environments.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BY_ACCOUNT = "ix_jobs_state_account_queue_rank_created_at_job_id"
BY_OWNER = "ix_jobs_state_owner_queue_rank_created_at_job_id"


def upgrade() -> None:
    op.add_column("access_keys", sa.Column("subject", KEY))
    op.create_index("ix_access_keys_subject", "access_keys", ["subject"])
    op.add_column("jobs", sa.Column("account", KEY, nullable=False, server_default="local"))
    op.execute("UPDATE jobs SET account = CASE workspace WHEN 'default' THEN owner ELSE workspace || '/' || owner END")
    op.create_index(BY_ACCOUNT, "jobs", ["state", "account", "queue_rank", "created_at", "job_id"])
    op.drop_index(BY_OWNER, "jobs")
    op.create_table(
        "environment_workspaces",
        sa.Column("environment", KEY, nullable=False),
        sa.Column("workspace", KEY, nullable=False),
        sa.PrimaryKeyConstraint("environment", "workspace", name="pk_environment_workspaces"),
    )


def downgrade() -> None:
    op.drop_table("environment_workspaces")
    op.create_index(BY_OWNER, "jobs", ["state", "owner", "queue_rank", "created_at", "job_id"])
    op.drop_index(BY_ACCOUNT, "jobs")
    op.drop_column("jobs", "account")
    op.drop_index("ix_access_keys_subject", "access_keys")
    op.drop_column("access_keys", "subject")
