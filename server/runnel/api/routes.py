"""THE table: one line per endpoint. OpenAPI, permissions, metrics labels and the table in the README follow from it.

Paths answer below /api and /ajax-api; those marked ``bare`` answer as they stand.
"""

from __future__ import annotations

from runnel.api import artifacts, datasets, experiments, metrics, openapi, runs, server_info
from runnel.api.routing import Endpoint, command, query

ROUTES: list[Endpoint] = [
    # The server
    query("GET", "/health", server_info.health, bare=True),
    query("GET", "/version", server_info.version, bare=True),
    query("GET", "/openapi.json", openapi.get_openapi, bare=True),
    query("GET", "/3.0/mlflow/server-info", server_info.get_server_info),
    # Experiments
    command("POST", "/2.0/mlflow/experiments/create", experiments.create_experiment),
    query("GET", "/2.0/mlflow/experiments/get", experiments.get_experiment),
    query("GET", "/2.0/mlflow/experiments/get-by-name", experiments.get_experiment_by_name),
    query("GET", "/2.0/mlflow/experiments/search", experiments.search_experiments),
    query("POST", "/2.0/mlflow/experiments/search", experiments.search_experiments),
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
    query("POST", "/2.0/mlflow/runs/search", runs.search_runs),
    command("POST", "/2.0/mlflow/runs/log-metric", metrics.log_metric, grouped=True),
    command("POST", "/2.0/mlflow/runs/log-parameter", runs.log_param, grouped=True),
    command("POST", "/2.0/mlflow/runs/log-batch", runs.log_batch, grouped=True),
    command("POST", "/2.0/mlflow/runs/set-tag", runs.set_tag, grouped=True),
    command("POST", "/2.0/mlflow/runs/delete-tag", runs.delete_tag),
    command("POST", "/2.0/mlflow/runs/log-inputs", runs.log_inputs),
    command("POST", "/2.0/mlflow/runs/outputs", runs.log_outputs),
    command("POST", "/2.0/mlflow/runs/log-model", runs.log_model),
    # Metrics
    query("GET", "/2.0/mlflow/metrics/get-history", metrics.get_metric_history),
    query("GET", "/2.0/mlflow/metrics/get-history-bulk", metrics.get_metric_history_bulk),
    query("GET", "/2.0/mlflow/metrics/get-history-bulk-interval", metrics.get_metric_history_bulk_interval),
    # Artifacts
    query("GET", "/2.0/mlflow-artifacts/artifacts", artifacts.list_artifacts),
    query("GET", "/2.0/mlflow-artifacts/artifacts/{artifact_path:path}", artifacts.download_artifact),
    command("PUT", "/2.0/mlflow-artifacts/artifacts/{artifact_path:path}", artifacts.upload_artifact),
    command("DELETE", "/2.0/mlflow-artifacts/artifacts/{artifact_path:path}", artifacts.delete_artifact),
    query("GET", "/2.0/mlflow/artifacts/list", artifacts.list_run_artifacts),
    query("GET", "/get-artifact", artifacts.get_artifact, bare=True),
    command("POST", "/2.0/mlflow/upload-artifact", artifacts.upload_run_artifact),
]
