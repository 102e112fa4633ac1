"""An index of the spans that cost something, by when they began: what they cost in a range of time is added up by it.

A revision is frozen once it has been released: it spells out every name and type, and imports nothing of the package.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

HAS_COST = sa.text("input_cost IS NOT NULL OR output_cost IS NOT NULL OR total_cost IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_spans_cost",
        "spans",
        ["start_time_unix_nano", "trace_id"],
        sqlite_where=HAS_COST,
        postgresql_where=HAS_COST,
    )
