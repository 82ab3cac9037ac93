"""Projects: the archives of uploads with more than one file.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("sha256", KEY, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_projects"),
    )
    op.create_table(
        "job_projects",
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("project_sha256", KEY, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_projects_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_sha256"], ["projects.sha256"], name="fk_job_projects_project_sha256"),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_projects"),
    )
    op.create_index("ix_job_projects_project_sha256", "job_projects", ["project_sha256"])


def downgrade() -> None:
    op.drop_table("job_projects")
    op.drop_table("projects")
