"""Secrets; environment variables of jobs and deployments are encrypted.

Never edited once released (docs/adr/0002): expand first, contract in a later release.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MOMENT = sa.DateTime().with_variant(sa.DateTime(timezone=True), "postgresql")
ROWS_AT_ONCE = 500
DOCUMENTS = (
    sa.table("jobs", sa.column("job_id", KEY), sa.column("spec", sa.JSON)),
    sa.table("deployments", sa.column("model_name", KEY), sa.column("version", KEY), sa.column("config", sa.JSON)),
)


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("workspace", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "name", name="pk_secrets"),
    )
    if op.get_bind().dialect.name == "sqlite":
        # Otherwise the old values stay in free pages of the file.
        op.execute("PRAGMA secure_delete = ON")
    change_values(keys().seal)


def downgrade() -> None:
    change_values(keys().open)
    op.drop_table("secrets")


def keys():
    return op.get_context().config.attributes["keys"]


def change_values(change) -> None:
    connection = op.get_bind()
    for table in DOCUMENTS:
        *primary, document = table.c
        after = None
        while True:
            query = sa.select(*primary, document).order_by(*primary).limit(ROWS_AT_ONCE)
            if after is not None:
                query = query.where(sa.tuple_(*primary) > sa.tuple_(*after))
            rows = connection.execute(query).all()
            for *key, found in rows:
                if not found.get("environment"):
                    continue
                changed = {**found, "environment": {name: change(value) for name, value in found["environment"].items()}}
                matching = [column == part for column, part in zip(primary, key)]
                connection.execute(sa.update(table).where(*matching).values({document.name: changed}))
            if len(rows) < ROWS_AT_ONCE:
                break
            after = rows[-1][:-1]
