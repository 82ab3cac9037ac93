"""Datasets, their versions and files, and the data of jobs.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name="pk_datasets"),
    )
    op.create_table(
        "dataset_versions",
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", KEY, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_count", sa.Integer(), nullable=False),
        sa.Column("is_folder", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("job_id", KEY, nullable=True),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace", "name"], ["datasets.workspace", "datasets.name"], name="fk_dataset_versions_workspace_name"
        ),
        sa.PrimaryKeyConstraint("workspace", "name", "version", name="pk_dataset_versions"),
    )
    op.create_index(
        "ix_dataset_versions_workspace_name_digest", "dataset_versions", ["workspace", "name", "digest"], unique=True
    )
    op.create_index("ix_dataset_versions_job_id", "dataset_versions", ["job_id"])
    op.create_table(
        "dataset_files",
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", KEY, nullable=False),
        sa.Column("sha256", KEY, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("location", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace", "name", "version"],
            ["dataset_versions.workspace", "dataset_versions.name", "dataset_versions.version"],
            name="fk_dataset_files_workspace_name_version",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace", "name", "version", "path", name="pk_dataset_files"),
    )
    op.create_index("ix_dataset_files_workspace_sha256", "dataset_files", ["workspace", "sha256"])
    op.create_table(
        "job_data",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("alias", KEY, nullable=False),
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_data_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "alias", name="pk_job_data"),
    )
    op.create_index("ix_job_data_workspace_name_version_job_id", "job_data", ["workspace", "name", "version", "job_id"])


def downgrade() -> None:
    op.drop_table("job_data")
    op.drop_table("dataset_files")
    op.drop_table("dataset_versions")
    op.drop_table("datasets")
