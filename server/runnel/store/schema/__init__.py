"""The tables.

Integer surrogate keys inside, MLflow's public ids at the border. Tables that belong to one parent are clustered by the
parent's key (``WITHOUT ROWID`` on SQLite), so that reading a run's params is one range scan. No foreign keys on the
hot tables: rows are only ever removed by the deletion of their run, which knows them all, and a check per logged point
costs more than the point.
"""

from __future__ import annotations

from runnel.store.schema.base import (
    INDEXED_VALUE_LENGTH,
    alembic_version,
    indexed_value,
    metadata,
)
from runnel.store.schema.evaluation_datasets import (
    evaluation_dataset_experiments,
    evaluation_dataset_records,
    evaluation_dataset_tags,
    evaluation_datasets,
)
from runnel.store.schema.issues import issues
from runnel.store.schema.json_number import json_number
from runnel.store.schema.label_schemas import label_schemas
from runnel.store.schema.logged_models import (
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
    metric_datasets,
)
from runnel.store.schema.registered_models import (
    model_version_tags,
    model_versions,
    registered_model_aliases,
    registered_model_tags,
    registered_models,
)
from runnel.store.schema.review_queues import (
    review_queue_items,
    review_queue_label_schemas,
    review_queue_users,
    review_queues,
)
from runnel.store.schema.scorers import online_scoring_configs, scorer_versions, scorers
from runnel.store.schema.traces import (
    UNINDEXED_TRACE_METADATA,
    assessments,
    has_cost,
    has_indexed_metadata_key,
    is_issue_reference,
    span_terms,
    spans,
    trace_metadata,
    trace_prompts,
    trace_runs,
    trace_tags,
    trace_usage,
    traces,
)
from runnel.store.schema.tracking import (
    dataset_inputs,
    datasets,
    experiment_tags,
    experiments,
    input_tags,
    metric_points,
    metrics,
    model_inputs,
    model_outputs,
    params,
    recent_metric_points,
    runs,
    tags,
)
from runnel.store.schema.webhooks import webhooks

HEAD_REVISION = "0009"

__all__ = [
    "HEAD_REVISION",
    "INDEXED_VALUE_LENGTH",
    "UNINDEXED_TRACE_METADATA",
    "alembic_version",
    "assessments",
    "dataset_inputs",
    "datasets",
    "evaluation_dataset_experiments",
    "evaluation_dataset_records",
    "evaluation_dataset_tags",
    "evaluation_datasets",
    "experiment_tags",
    "experiments",
    "has_cost",
    "has_indexed_metadata_key",
    "indexed_value",
    "input_tags",
    "is_issue_reference",
    "issues",
    "label_schemas",
    "json_number",
    "logged_model_metrics",
    "logged_model_params",
    "logged_model_tags",
    "logged_models",
    "metadata",
    "metric_datasets",
    "metric_points",
    "metrics",
    "model_inputs",
    "model_outputs",
    "model_version_tags",
    "model_versions",
    "online_scoring_configs",
    "params",
    "recent_metric_points",
    "registered_model_aliases",
    "registered_model_tags",
    "registered_models",
    "review_queue_items",
    "review_queue_label_schemas",
    "review_queue_users",
    "review_queues",
    "runs",
    "scorer_versions",
    "scorers",
    "span_terms",
    "spans",
    "tags",
    "trace_metadata",
    "trace_prompts",
    "trace_runs",
    "trace_tags",
    "trace_usage",
    "traces",
    "webhooks",
]
