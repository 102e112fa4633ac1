"""The tables of review queues: the queue, who reviews, what is asked, and what is reviewed."""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, clustered_table, metadata

review_queues = sa.Table(
    "review_queues",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("queue_id", Text, nullable=False, unique=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("name_key", Text, nullable=False),  # the name in lower case: no two queues of an experiment share it
    sa.Column("queue_type", Text, nullable=False),  # user or custom
    sa.Column("created_by", Text),
    sa.Column("creation_time_ms", sa.BigInteger, nullable=False),
    sa.Column("last_update_time_ms", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("experiment_id", "name_key"),
    sa.Index("ix_review_queues_listing", "experiment_id", "creation_time_ms", "id"),
)

review_queue_users = clustered_table(
    "review_queue_users",
    sa.Column("queue", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", Text, primary_key=True),
    sa.Index("ix_review_queue_users_user", "user_id", "queue"),
)

# The ids of label schemas, which may have been deleted since.
review_queue_label_schemas = clustered_table(
    "review_queue_label_schemas",
    sa.Column("queue", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("schema_id", Text, primary_key=True),
)

review_queue_items = clustered_table(
    "review_queue_items",
    sa.Column("queue", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("item_id", Text, primary_key=True),
    sa.Column("item_type", Text, nullable=False),  # trace
    sa.Column("status", Text, nullable=False),  # pending, complete or declined
    sa.Column("completed_by", Text),
    sa.Column("completed_time_ms", sa.BigInteger),
    sa.Column("creation_time_ms", sa.BigInteger, nullable=False),
    sa.Column("last_update_time_ms", sa.BigInteger, nullable=False),
)
# The order in which items are listed: newest first, the id breaks ties.
sa.Index(
    "ix_review_queue_items_listing",
    review_queue_items.c.queue,
    review_queue_items.c.creation_time_ms.desc(),
    review_queue_items.c.item_id,
)
sa.Index(
    "ix_review_queue_items_status",
    review_queue_items.c.queue,
    review_queue_items.c.status,
    review_queue_items.c.creation_time_ms.desc(),
    review_queue_items.c.item_id,
)
sa.Index("ix_review_queue_items_item", review_queue_items.c.item_id)
