"""What is needed to add up the tokens and the cost of a trace while its spans come in.

Traces from before have nothing there; it is worked out from their spans when more of these come.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "trace_usage",
        sa.Column("trace_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("anchor", Text, nullable=False),
        sa.Column("numbers", Text, nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "anchor", name="pk_trace_usage"),
        sqlite_with_rowid=False,
    )
