"""Owners: who a job is for, and what it asks for, as columns that admission and its filter read.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

INDICES = {
    "ix_jobs_owner_created_at_job_id": ["owner", "created_at", "job_id"],
    "ix_jobs_owner_status_created_at_job_id": ["owner", "status", "created_at", "job_id"],
    "ix_jobs_state_owner_queue_rank_created_at_job_id": ["state", "owner", "queue_rank", "created_at", "job_id"],
}

# The specs have had all of it from the first release on.
COPY = {
    "sqlite": """UPDATE jobs SET owner = json_extract(spec, '$.owner'), cpus = json_extract(spec, '$.resources.cpus'),
        memory_bytes = json_extract(spec, '$.resources.memory_bytes'), gpus = json_extract(spec, '$.resources.gpus')""",
    "postgresql": """UPDATE jobs SET owner = spec->>'owner', cpus = (spec->'resources'->>'cpus')::float,
        memory_bytes = (spec->'resources'->>'memory_bytes')::bigint, gpus = (spec->'resources'->>'gpus')::float""",
}


def upgrade() -> None:
    op.add_column("jobs", sa.Column("owner", KEY, nullable=False, server_default="local"))
    op.add_column("jobs", sa.Column("cpus", sa.Double(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("memory_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("gpus", sa.Double(), nullable=False, server_default="0"))
    op.execute(COPY[op.get_bind().dialect.name])
    for name, columns in INDICES.items():
        op.create_index(name, "jobs", columns)


def downgrade() -> None:
    for name in INDICES:
        op.drop_index(name, "jobs")
    with op.batch_alter_table("jobs") as jobs:
        for column in ("owner", "cpus", "memory_bytes", "gpus"):
            jobs.drop_column(column)
