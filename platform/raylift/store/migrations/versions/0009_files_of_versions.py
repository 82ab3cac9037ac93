"""SHA-256 of each file of a deployed version. Null for older rows: the supervisor records them at its first look.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("files", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("deployments", "files")
