"""Jobs, deployments, leases: the first tables.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Plain types, not those of raylift.store.engine.columns: this file must mean the same whatever becomes of them.
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")
NAME = sa.String(32)
UNFINISHED = sa.text("cancel_requested_at IS NOT NULL AND finished_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "deployments",
        sa.Column("model_name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("model_uri", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("status", NAME, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("applied_generation", sa.Integer(), nullable=False),
        sa.Column("replicas", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("job_id", KEY, nullable=True),
        sa.Column("environment_lock", sa.JSON(), nullable=False),
        sa.Column("ready_at", MOMENT, nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("model_name", "version", name="pk_deployments"),
    )
    op.create_table(
        "leases",
        sa.Column("name", KEY, nullable=False),
        sa.Column("holder", KEY, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "scripts",
        sa.Column("sha256", KEY, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_scripts"),
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("entered_at", MOMENT, nullable=False),
        sa.Column("reason", NAME, nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("infrastructure_losses", sa.Integer(), nullable=False),
        sa.Column("submission_id", sa.Text(), nullable=True),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("deadline_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("cancel_requested_at", MOMENT, nullable=True),
        sa.Column("stop_reason", NAME, nullable=True),
        sa.Column("phases", sa.JSON(), nullable=False),
        sa.Column("usage", sa.JSON(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("environment_lock", sa.JSON(), nullable=True),
        sa.Column("mlflow_experiment_id", sa.Text(), nullable=True),
        sa.Column("mlflow_run_id", sa.Text(), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=True),
        sa.Column("status", NAME, nullable=False),
        sa.Column("script_sha256", KEY, nullable=False),
        sa.Column("model_name", KEY, nullable=True),
        sa.Column("experiment_name", KEY, nullable=False),
        sa.Column("queue_rank", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["script_sha256"], ["scripts.sha256"], name="fk_jobs_script_sha256"),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )
    op.create_index(
        "ix_jobs_cancelling", "jobs", ["cancel_requested_at", "job_id"], sqlite_where=UNFINISHED, postgresql_where=UNFINISHED
    )
    op.create_index("ix_jobs_created_at_job_id", "jobs", ["created_at", "job_id"])
    op.create_index("ix_jobs_experiment_name_created_at_job_id", "jobs", ["experiment_name", "created_at", "job_id"])
    op.create_index(
        "ix_jobs_experiment_name_status_created_at_job_id", "jobs", ["experiment_name", "status", "created_at", "job_id"]
    )
    op.create_index("ix_jobs_model_name_created_at_job_id", "jobs", ["model_name", "created_at", "job_id"])
    op.create_index("ix_jobs_model_name_status_created_at_job_id", "jobs", ["model_name", "status", "created_at", "job_id"])
    op.create_index("ix_jobs_script_sha256", "jobs", ["script_sha256"])
    op.create_index("ix_jobs_state_queue_rank_created_at_job_id", "jobs", ["state", "queue_rank", "created_at", "job_id"])
    op.create_index("ix_jobs_status_created_at_job_id", "jobs", ["status", "created_at", "job_id"])

    op.create_table(
        "idempotency_keys",
        sa.Column("key", KEY, nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.job_id"],
            name="fk_idempotency_keys_job_id",
            ondelete="CASCADE",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])
    op.create_index("ix_idempotency_keys_job_id", "idempotency_keys", ["job_id"])

    op.create_table(
        "job_attempts",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("submission_id", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("reason", NAME, nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("usage", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_attempts_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_job_attempts"),
    )
    op.create_table(
        "job_events",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("before", NAME, nullable=True),
        sa.Column("after", NAME, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("reason", NAME, nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_events_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "sequence", name="pk_job_events"),
    )
    op.create_table(
        "job_tags",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("value", KEY, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_tags_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "key", name="pk_job_tags"),
    )
    op.create_index("ix_job_tags_key_created_at_job_id", "job_tags", ["key", "created_at", "job_id"])
    op.create_index("ix_job_tags_key_value_created_at_job_id", "job_tags", ["key", "value", "created_at", "job_id"])


def downgrade() -> None:
    for table in ("deployments", "leases", "idempotency_keys", "job_tags", "job_events", "job_attempts", "jobs", "scripts"):
        op.drop_table(table)
