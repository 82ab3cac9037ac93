"""When processes of a version's own were last called for.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.add_column("deployments", sa.Column("demanded_at", MOMENT, nullable=True))


def downgrade() -> None:
    op.drop_column("deployments", "demanded_at")
