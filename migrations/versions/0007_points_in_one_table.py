"""PostgreSQL keeps the points of metrics in one table: those that wait in the other one are moved.

A revision is frozen once it has been released: it spells out every name and type, and imports nothing of the package.
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        columns = "metric_id, timestamp, step, value, is_nan"
        op.execute(
            f"WITH moved AS (DELETE FROM recent_metric_points RETURNING {columns}) "
            f"INSERT INTO metric_points ({columns}) SELECT {columns} FROM moved ON CONFLICT DO NOTHING"
        )
