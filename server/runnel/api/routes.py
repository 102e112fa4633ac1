"""THE table: one line per endpoint. OpenAPI, permissions, metrics labels and the table in the README follow from it.

Paths answer below /api and /ajax-api; those marked ``bare`` answer as they stand.
"""

from __future__ import annotations

from runnel.api import (
    artifacts,
    assessments,
    datasets,
    evaluation_datasets,
    experiments,
    issues,
    label_schemas,
    logged_models,
    metrics,
    model_versions,
    openapi,
    presigned_artifacts,
    registered_models,
    review_queues,
    runs,
    scorers,
    server_info,
    trace_artifacts,
    trace_correlation,
    trace_deletion,
    trace_metrics,
    trace_search,
    traces,
    traces_v2,
    webhooks,
)
from runnel.api.routing import Endpoint, command, query

ROUTES: list[Endpoint] = [
    # The server
    query("GET", "/health", server_info.health, bare=True),
    query("GET", "/ready", server_info.ready, bare=True),
    query("GET", "/version", server_info.version, bare=True),
    query("GET", "/openapi.json", openapi.description_of(lambda: ROUTES), bare=True),
    query("GET", "/3.0/mlflow/server-info", server_info.get_server_info),
    # Experiments
    command("POST", "/2.0/mlflow/experiments/create", experiments.create_experiment),
    query("GET", "/2.0/mlflow/experiments/get", experiments.get_experiment),
    query("GET", "/2.0/mlflow/experiments/get-by-name", experiments.get_experiment_by_name),
    query(
        "GET", "/2.0/mlflow/experiments/search", experiments.search_experiments, may_scan=experiments.search_may_scan
    ),
    query(
        "POST", "/2.0/mlflow/experiments/search", experiments.search_experiments, may_scan=experiments.search_may_scan
    ),
    command("POST", "/2.0/mlflow/experiments/update", experiments.update_experiment),
    command("POST", "/2.0/mlflow/experiments/delete", experiments.delete_experiment),
    command("POST", "/2.0/mlflow/experiments/restore", experiments.restore_experiment),
    command("POST", "/2.0/mlflow/experiments/set-experiment-tag", experiments.set_experiment_tag),
    command("POST", "/2.0/mlflow/experiments/delete-experiment-tag", experiments.delete_experiment_tag),
    query("POST", "/2.0/mlflow/experiments/search-datasets", datasets.search_datasets),
    # Runs
    command("POST", "/2.0/mlflow/runs/create", runs.create_run),
    query("GET", "/2.0/mlflow/runs/get", runs.get_run),
    command("POST", "/2.0/mlflow/runs/update", runs.update_run),
    command("POST", "/2.0/mlflow/runs/delete", runs.delete_run),
    command("POST", "/2.0/mlflow/runs/restore", runs.restore_run),
    query("POST", "/2.0/mlflow/runs/search", runs.search_runs, may_scan=runs.search_may_scan),
    command("POST", "/2.0/mlflow/runs/log-metric", metrics.log_metric, grouped=True),
    command("POST", "/2.0/mlflow/runs/log-parameter", runs.log_param, grouped=True),
    command("POST", "/2.0/mlflow/runs/log-batch", runs.log_batch, grouped=True),
    command("POST", "/2.0/mlflow/runs/set-tag", runs.set_tag, grouped=True),
    command("POST", "/2.0/mlflow/runs/delete-tag", runs.delete_tag),
    command("POST", "/2.0/mlflow/runs/log-inputs", runs.log_inputs),
    command("POST", "/2.0/mlflow/runs/outputs", runs.log_outputs),
    command("POST", "/2.0/mlflow/runs/log-model", runs.log_model),
    # Logged models
    command("POST", "/2.0/mlflow/logged-models", logged_models.create_logged_model),
    query(
        "POST",
        "/2.0/mlflow/logged-models/search",
        logged_models.search_logged_models,
        may_scan=logged_models.search_may_scan,
    ),
    query("GET", "/2.0/mlflow/logged-models/{model_id}", logged_models.get_logged_model),
    command("PATCH", "/2.0/mlflow/logged-models/{model_id}", logged_models.finalize_logged_model),
    command("DELETE", "/2.0/mlflow/logged-models/{model_id}", logged_models.delete_logged_model),
    command("PATCH", "/2.0/mlflow/logged-models/{model_id}/tags", logged_models.set_logged_model_tags),
    command(
        "DELETE", "/2.0/mlflow/logged-models/{model_id}/tags/{tag_key:path}", logged_models.delete_logged_model_tag
    ),
    command("POST", "/2.0/mlflow/logged-models/{model_id}/params", logged_models.log_logged_model_params),
    query(
        "GET",
        "/2.0/mlflow/logged-models/{model_id}/artifacts/directories",
        logged_models.list_logged_model_artifacts,
    ),
    query("GET", "/2.0/mlflow/logged-models/{model_id}/artifacts/files", logged_models.get_logged_model_artifact),
    # Metrics
    query("GET", "/2.0/mlflow/metrics/get-history", metrics.get_metric_history),
    query("GET", "/2.0/mlflow/metrics/get-history-bulk", metrics.get_metric_history_bulk),
    query(
        "GET",
        "/2.0/mlflow/metrics/get-history-bulk-interval",
        metrics.get_metric_history_bulk_interval,
        may_scan=metrics.sampling_may_scan,
    ),
    # Artifacts
    query("GET", "/2.0/mlflow-artifacts/artifacts", artifacts.list_artifacts),
    query("GET", "/2.0/mlflow-artifacts/artifacts/{artifact_path:path}", artifacts.download_artifact),
    command("PUT", "/2.0/mlflow-artifacts/artifacts/{artifact_path:path}", artifacts.upload_artifact),
    command("DELETE", "/2.0/mlflow-artifacts/artifacts/{artifact_path:path}", artifacts.delete_artifact),
    query("GET", "/2.0/mlflow/artifacts/list", artifacts.list_run_artifacts),
    query("GET", "/get-artifact", artifacts.get_artifact, bare=True),
    command("POST", "/2.0/mlflow/upload-artifact", artifacts.upload_run_artifact),
    # Artifacts that clients reach without the server
    command(
        "POST", "/2.0/mlflow-artifacts/mpu/create/{artifact_path:path}", presigned_artifacts.create_multipart_upload
    ),
    command(
        "POST", "/2.0/mlflow-artifacts/mpu/complete/{artifact_path:path}", presigned_artifacts.complete_multipart_upload
    ),
    command("POST", "/2.0/mlflow-artifacts/mpu/abort/{artifact_path:path}", presigned_artifacts.abort_multipart_upload),
    query(
        "GET", "/2.0/mlflow-artifacts/presigned/{artifact_path:path}", presigned_artifacts.get_presigned_download_url
    ),
    command("POST", "/2.0/mlflow/artifacts/presigned-upload-url", presigned_artifacts.create_presigned_upload_url),
    query("POST", "/2.0/mlflow/artifacts/presigned-download-url", presigned_artifacts.create_presigned_download_url),
    # Traces
    command("POST", "/v1/traces", traces.export_traces, bare=True),
    command("POST", "/3.0/mlflow/traces", traces.start_trace, grouped=True),
    query("GET", "/3.0/mlflow/traces/get", traces.get_trace),
    query("GET", "/3.0/mlflow/traces/batchGet", traces.batch_get_traces),
    query("POST", "/3.0/mlflow/traces/batchGetInfos", traces.batch_get_trace_infos),
    query("GET", "/3.0/mlflow/traces/{trace_id}", traces.get_trace_info),
    command("PATCH", "/3.0/mlflow/traces/{trace_id}/tags", traces.set_trace_tag),
    command("PATCH", "/2.0/mlflow/traces/{request_id}/tags", traces.set_trace_tag_v2),
    command("DELETE", "/3.0/mlflow/traces/{trace_id}/tags", traces.delete_trace_tag),
    command("DELETE", "/2.0/mlflow/traces/{request_id}/tags", traces.delete_trace_tag_v2),
    command("POST", "/2.0/mlflow/traces/link-to-run", traces.link_traces_to_run),
    command("POST", "/2.0/mlflow/traces/link-prompts", traces_v2.link_prompts_to_trace),
    query("POST", "/3.0/mlflow/traces/search", trace_search.search_traces_v3, may_scan=trace_search.search_may_scan),
    query("GET", "/2.0/mlflow/traces", trace_search.search_traces, may_scan=trace_search.search_may_scan),
    query("POST", "/3.0/mlflow/traces/metrics", trace_metrics.query_trace_metrics),
    query(
        "POST",
        "/3.0/mlflow/traces/calculate-filter-correlation",
        trace_correlation.calculate_trace_filter_correlation,
    ),
    command("POST", "/3.0/mlflow/traces/delete-traces", trace_deletion.delete_traces_v3),
    command("POST", "/2.0/mlflow/traces/delete-traces", trace_deletion.delete_traces),
    query("GET", "/2.0/mlflow/get-trace-artifact", trace_artifacts.get_trace_artifact),
    query("GET", "/3.0/mlflow/get-trace-artifact", trace_artifacts.get_trace_artifact),
    command("POST", "/2.0/mlflow/traces", traces_v2.start_trace_v2),
    command("PATCH", "/2.0/mlflow/traces/{request_id}", traces_v2.end_trace),
    query("GET", "/2.0/mlflow/traces/{request_id}/info", traces_v2.get_trace_info_v2),
    # Assessments
    command("POST", "/3.0/mlflow/traces/{trace_id}/assessments", assessments.create_assessment),
    query("GET", "/3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", assessments.get_assessment),
    command("PATCH", "/3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", assessments.update_assessment),
    command("DELETE", "/3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", assessments.delete_assessment),
    # Evaluation datasets
    command("POST", "/3.0/mlflow/datasets/create", evaluation_datasets.create_dataset),
    query(
        "GET",
        "/3.0/mlflow/datasets/search",
        evaluation_datasets.search_evaluation_datasets,
        may_scan=evaluation_datasets.search_may_scan,
    ),
    query(
        "POST",
        "/3.0/mlflow/datasets/search",
        evaluation_datasets.search_evaluation_datasets,
        may_scan=evaluation_datasets.search_may_scan,
    ),
    query("GET", "/3.0/mlflow/datasets/{dataset_id}", evaluation_datasets.get_dataset),
    command("DELETE", "/3.0/mlflow/datasets/{dataset_id}", evaluation_datasets.delete_dataset),
    command("PATCH", "/3.0/mlflow/datasets/{dataset_id}/tags", evaluation_datasets.set_dataset_tags),
    command("DELETE", "/3.0/mlflow/datasets/{dataset_id}/tags/{key:path}", evaluation_datasets.delete_dataset_tag),
    query("GET", "/3.0/mlflow/datasets/{dataset_id}/records", evaluation_datasets.get_dataset_records),
    command("POST", "/3.0/mlflow/datasets/{dataset_id}/records", evaluation_datasets.upsert_dataset_records),
    command("DELETE", "/3.0/mlflow/datasets/{dataset_id}/records", evaluation_datasets.delete_dataset_records),
    query("GET", "/3.0/mlflow/datasets/{dataset_id}/experiment-ids", evaluation_datasets.get_dataset_experiment_ids),
    command(
        "POST", "/3.0/mlflow/datasets/{dataset_id}/add-experiments", evaluation_datasets.add_dataset_to_experiments
    ),
    command(
        "POST",
        "/3.0/mlflow/datasets/{dataset_id}/remove-experiments",
        evaluation_datasets.remove_dataset_from_experiments,
    ),
    # Scorers
    command("POST", "/3.0/mlflow/scorers/register", scorers.register_scorer),
    query("GET", "/3.0/mlflow/scorers/list", scorers.list_scorers),
    query("GET", "/3.0/mlflow/scorers/versions", scorers.list_scorer_versions),
    query("GET", "/3.0/mlflow/scorers/get", scorers.get_scorer),
    command("DELETE", "/3.0/mlflow/scorers/delete", scorers.delete_scorer),
    query("GET", "/3.0/mlflow/scorers/online-configs", scorers.get_online_scoring_configs),
    command("PUT", "/3.0/mlflow/scorers/online-config", scorers.upsert_online_scoring_config),
    # Issues
    command("POST", "/3.0/mlflow/issues", issues.create_issue),
    query("POST", "/3.0/mlflow/issues/search", issues.search_issues),
    query("GET", "/3.0/mlflow/issues/{issue_id}", issues.get_issue),
    command("PATCH", "/3.0/mlflow/issues/{issue_id}", issues.update_issue),
    # Label schemas
    command("POST", "/3.0/mlflow/label-schemas/create", label_schemas.create_label_schema),
    query("GET", "/3.0/mlflow/label-schemas/get", label_schemas.get_label_schema),
    query("GET", "/3.0/mlflow/label-schemas/get-by-name", label_schemas.get_label_schema_by_name),
    query("GET", "/3.0/mlflow/label-schemas/list", label_schemas.list_label_schemas),
    command("PATCH", "/3.0/mlflow/label-schemas/update", label_schemas.update_label_schema),
    command("DELETE", "/3.0/mlflow/label-schemas/delete", label_schemas.delete_label_schema),
    # Review queues
    command("POST", "/3.0/mlflow/review-queues/create", review_queues.create_review_queue),
    command("POST", "/3.0/mlflow/review-queues/get-or-create-user", review_queues.get_or_create_user_queue),
    query("GET", "/3.0/mlflow/review-queues/get", review_queues.get_review_queue),
    query("GET", "/3.0/mlflow/review-queues/get-by-name", review_queues.get_review_queue_by_name),
    query("GET", "/3.0/mlflow/review-queues/list", review_queues.list_review_queues),
    command("POST", "/3.0/mlflow/review-queues/update", review_queues.update_review_queue),
    command("POST", "/3.0/mlflow/review-queues/delete", review_queues.delete_review_queue),
    command("POST", "/3.0/mlflow/review-queues/items/add", review_queues.add_items_to_review_queue),
    command("POST", "/3.0/mlflow/review-queues/items/remove", review_queues.remove_items_from_review_queue),
    query("GET", "/3.0/mlflow/review-queues/items/list", review_queues.list_review_queue_items),
    command("POST", "/3.0/mlflow/review-queues/items/set-status", review_queues.set_review_queue_item_status),
    # Registered models
    command("POST", "/2.0/mlflow/registered-models/create", registered_models.create_registered_model),
    query("GET", "/2.0/mlflow/registered-models/get", registered_models.get_registered_model),
    query(
        "GET",
        "/2.0/mlflow/registered-models/search",
        registered_models.search_registered_models,
        may_scan=registered_models.search_may_scan,
    ),
    command("PATCH", "/2.0/mlflow/registered-models/update", registered_models.update_registered_model),
    command("POST", "/2.0/mlflow/registered-models/rename", registered_models.rename_registered_model),
    command("DELETE", "/2.0/mlflow/registered-models/delete", registered_models.delete_registered_model),
    query("GET", "/2.0/mlflow/registered-models/get-latest-versions", registered_models.get_latest_versions),
    query("POST", "/2.0/mlflow/registered-models/get-latest-versions", registered_models.get_latest_versions),
    command("POST", "/2.0/mlflow/registered-models/set-tag", registered_models.set_registered_model_tag),
    command("DELETE", "/2.0/mlflow/registered-models/delete-tag", registered_models.delete_registered_model_tag),
    command("POST", "/2.0/mlflow/registered-models/alias", registered_models.set_registered_model_alias),
    command("DELETE", "/2.0/mlflow/registered-models/alias", registered_models.delete_registered_model_alias),
    query("GET", "/2.0/mlflow/registered-models/alias", registered_models.get_model_version_by_alias),
    # Versions of registered models
    command("POST", "/2.0/mlflow/model-versions/create", model_versions.create_model_version),
    query("GET", "/2.0/mlflow/model-versions/get", model_versions.get_model_version),
    query(
        "GET",
        "/2.0/mlflow/model-versions/search",
        model_versions.search_model_versions,
        may_scan=model_versions.search_may_scan,
    ),
    command("PATCH", "/2.0/mlflow/model-versions/update", model_versions.update_model_version),
    command("DELETE", "/2.0/mlflow/model-versions/delete", model_versions.delete_model_version),
    command("POST", "/2.0/mlflow/model-versions/transition-stage", model_versions.transition_model_version_stage),
    command("POST", "/2.0/mlflow/model-versions/set-tag", model_versions.set_model_version_tag),
    command("DELETE", "/2.0/mlflow/model-versions/delete-tag", model_versions.delete_model_version_tag),
    query("GET", "/2.0/mlflow/model-versions/get-download-uri", model_versions.get_model_version_download_uri),
    query("GET", "/model-versions/get-artifact", model_versions.get_model_version_artifact, bare=True),
    # Webhooks
    command("POST", "/2.0/mlflow/webhooks", webhooks.create_webhook),
    query("GET", "/2.0/mlflow/webhooks", webhooks.list_webhooks),
    query("GET", "/2.0/mlflow/webhooks/{webhook_id}", webhooks.get_webhook),
    command("PATCH", "/2.0/mlflow/webhooks/{webhook_id}", webhooks.update_webhook),
    command("DELETE", "/2.0/mlflow/webhooks/{webhook_id}", webhooks.delete_webhook),
    command("POST", "/2.0/mlflow/webhooks/{webhook_id}/test", webhooks.test_webhook),
]
