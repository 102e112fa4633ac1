"""Sources of model versions: what may be one, what is read through one, and what is never opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, refusal
from tests.conftest import StartServer
from tests.e2e.registry import IS_PROMPT, VERSIONS, new_model, new_version

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def name(api: Api) -> str:
    """A new model."""
    return new_model(api)


def create_refused(api: Api, name: str, source: str, **fields: Any) -> Refusal:
    return api.post_refused(f"{VERSIONS}/create", name=name, source=source, **fields)


def artifact(api: Api, name: str, path: str, number: str = "1") -> Any:
    return api.send("GET", "/model-versions/get-artifact", params={"name": name, "version": number, "path": path})


def relative(source: str) -> Refusal:
    return invalid(
        f"Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp, "
        "objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references "
        "present. Please provide an absolute path."
    )


def not_of(source: str, origin: str) -> Refusal:
    return invalid(
        f"Invalid model version source: '{source}'. The {origin} request parameter must identify the resource that "
        "contains the source."
    )


def local(source: str, origin: str = "run_id") -> Refusal:
    return invalid(
        f"Invalid model version source: '{source}'. To use a local path as a model version source, the {origin} "
        "request parameter has to be specified and the local path has to be contained within the artifact directory "
        f"of the run specified by the {origin}."
    )


@pytest.fixture
def logged_model(api: Api, experiment_id: str) -> Any:
    """A logged model with a file."""
    info = api.post("logged-models", experiment_id=experiment_id)["model"]["info"]
    put(api, info["artifact_uri"], "MLmodel", b"flavors: {}")
    return info


def put(api: Api, uri: str, path: str, content: bytes) -> None:
    place = uri.removeprefix("mlflow-artifacts:")
    response = api.send("PUT", f"{ARTIFACTS}{place}/{path}", content=content)
    assert response.status_code == 200, response.text


# What may be a source, and is read


def test_artifacts_of_a_run_are_read_through_a_version(api: Api, name: str, run_id: str) -> None:
    uri = api.run(run_id)["info"]["artifact_uri"]
    put(api, uri, "model/deep/weights.bin", b"\x00\x01weights")
    for source in (f"runs:/{run_id}/model", f"{uri}/model"):
        number = new_version(api, name, source, run_id=run_id)["version"]
        response = artifact(api, name, "deep/weights.bin", number)
        assert (response.status_code, response.content) == (200, b"\x00\x01weights")
        assert api.get(f"{VERSIONS}/get-download-uri", name=name, version=number)["artifact_uri"] == source
        assert artifact(api, name, "missing", number).status_code == 404


def test_artifacts_of_a_logged_model_are_read_through_a_version(api: Api, name: str, logged_model: Any) -> None:
    model_id = logged_model["model_id"]
    for source in (f"models:/{model_id}", logged_model["artifact_uri"]):
        number = new_version(api, name, source, model_id=model_id)["version"]
        assert artifact(api, name, "MLmodel", number).content == b"flavors: {}"


def test_places_outside_of_the_server_are_noted_and_never_opened(api: Api, name: str) -> None:
    for source in ("s3://bucket/model", "gs://bucket/model", "dbfs:/models/one", "wasbs://c@a.blob.core/x"):
        number = new_version(api, name, source)["version"]
        assert api.get(f"{VERSIONS}/get-download-uri", name=name, version=number)["artifact_uri"] == source
        assert refusal(artifact(api, name, "MLmodel", number)) == invalid(
            f"The artifacts are at {source}, which this server does not serve. Clients that can reach it read them "
            "there."
        )


# What is refused


@pytest.mark.parametrize(
    "path", ["../secret", "a/../../secret", "/etc/passwd", "%2e%2e/secret", "..%2fsecret", "a\\..\\b"]
)
def test_a_path_that_leads_out_of_the_version_is_refused(api: Api, name: str, run_id: str, path: str) -> None:
    new_version(api, name, f"runs:/{run_id}/model", run_id=run_id)
    assert refusal(artifact(api, name, path)) == invalid("Invalid path")


@pytest.mark.parametrize("source", ["/etc", "file:///etc", "file:/etc", "etc", "./x", "file://localhost/etc", "/"])
def test_a_local_path_is_no_source(api: Api, name: str, run_id: str, logged_model: Any, source: str) -> None:
    assert create_refused(api, name, source) == local(source)
    assert create_refused(api, name, source, run_id=run_id) == local(source)
    assert create_refused(api, name, source, model_id=logged_model["model_id"]) == local(source, "model_id")


@pytest.mark.parametrize(
    "source",
    [
        "s3://bucket/../other",
        "s3://bucket/a/%2e%2e/other",
        "s3://bucket/a/%252e%252e/other",
        "s3://bucket/..%2fother",
        "s3://bucket/./a",
        "s3://bucket",
        "mlflow-artifacts:/1/..%2f..%2fsecret",
        "mlflow-artifacts:/1/%5c..%5c",
        "dbfs:models",
        "foo:bar",
        "s3://bucket/a%00b",
        "s3://bucket/a%0ab",
        "runs:/{run}/../x",
    ],
)
def test_a_relative_path_in_any_encoding_is_no_source(api: Api, name: str, run_id: str, source: str) -> None:
    source = source.replace("{run}", run_id)
    assert create_refused(api, name, source, run_id=run_id) == relative(source)


def test_characters_that_parsers_skip_do_not_hide_a_scheme(api: Api, name: str, run_id: str) -> None:
    for source in ("fi\tle:///etc", "\nfile:///etc", "s3://bucket/a\r/b"):
        assert create_refused(api, name, source, run_id=run_id).error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "sftp", "hdfs", "mlflow-artifacts", "abfss"])
def test_a_host_that_is_not_the_servers_storage_is_no_source(api: Api, name: str, run_id: str, scheme: str) -> None:
    problem = create_refused(api, name, f"{scheme}://evil.example/api/2.0/mlflow-artifacts/artifacts/x", run_id=run_id)
    assert problem.status == 400
    assert problem.message.startswith(f"'source' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses")


def test_a_source_must_be_of_the_run_that_is_named(api: Api, name: str, run_id: str, experiment_id: str) -> None:
    other = api.new_run(experiment_id)
    served = f"{api.run(other)['info']['artifact_uri']}/model"
    for source in (f"runs:/{other}/model", served, f"runs://{run_id}/model", "mlflow-artifacts:/", f"runs:/{run_id}x"):
        if source != "mlflow-artifacts:/":
            assert create_refused(api, name, source) == not_of(source, "run_id")
            assert create_refused(api, name, source, run_id=run_id) == not_of(source, "run_id")
        else:
            assert create_refused(api, name, source, run_id=run_id) == relative(source)
    assert create_refused(api, name, served, run_id="nobody") == not_of(served, "run_id")
    # The beginning of a name is not the name.
    longer = f"{api.run(run_id)['info']['artifact_uri']}-of-another/model"
    assert create_refused(api, name, longer, run_id=run_id) == not_of(longer, "run_id")


def test_a_source_must_be_of_the_logged_model_that_is_named(
    api: Api, name: str, experiment_id: str, run_id: str, logged_model: Any
) -> None:
    model_id = logged_model["model_id"]
    other = api.post("logged-models", experiment_id=experiment_id)["model"]["info"]
    for source in (f"models:/{other['model_id']}", other["artifact_uri"], f"runs:/{run_id}/model"):
        assert create_refused(api, name, source, model_id=model_id) == not_of(source, "model_id")
    source = f"models:/{model_id}"
    assert create_refused(api, name, source) == not_of(source, "model_id")
    assert create_refused(api, name, source, run_id=run_id) == not_of(source, "model_id")
    for source in ("models:/a/b/c", "models:/", "models:/a/", "models:/a@", f"models://host/{model_id}"):
        assert create_refused(api, name, source, model_id=model_id) == not_of(source, "model_id")
    missing = f"m-{'0' * 32}"
    problem = create_refused(api, name, "s3://bucket/x", model_id=missing)
    assert (problem.status, problem.message) == (404, f"Logged model with ID '{missing}' not found.")
    assert create_refused(api, name, f"models:/{missing}", model_id=missing).status == 404


def test_a_prompt_is_no_source_and_has_none(api: Api, name: str) -> None:
    prompt = new_model(api, tags=[IS_PROMPT])
    new_version(api, prompt, "dummy-source", tags=[IS_PROMPT])
    source = f"models:/{prompt}/1"
    assert create_refused(api, name, source) == invalid(
        f"Invalid model version source: '{source}'. Prompt versions cannot be used as model version sources."
    )
    for source in ("s3://bucket/x", "/etc/passwd", "file:///etc/passwd"):
        assert create_refused(api, prompt, source, tags=[IS_PROMPT]) == invalid(
            f"Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder."
        )
    assert refusal(artifact(api, prompt, "x")) == invalid("A version of a prompt has no artifacts.")
    assert create_refused(api, name, "dummy-source") == local("dummy-source")


def test_a_source_that_is_too_long_is_refused(api: Api, name: str) -> None:
    assert create_refused(api, name, f"s3://bucket/{'x' * 2_048}") == invalid(
        "'source' exceeds the maximum length of 2048 characters"
    )


# A server whose runs keep their artifacts in a local folder


@pytest.fixture
def with_local_runs(start_server: StartServer, tmp_path: Path) -> Iterator[Api]:
    """A server that leaves artifacts to clients on its own machine."""
    (tmp_path / "secret").write_text("secret")
    server = start_server("--no-serve-artifacts", "--default-artifact-root", str(tmp_path / "root"))
    with Api(server.url) as api:
        yield api


def test_a_local_source_must_lie_in_the_artifacts_of_its_run(with_local_runs: Api, tmp_path: Path) -> None:
    api = with_local_runs
    name, run_id = new_model(api), api.new_run("0")
    folder = Path(api.run(run_id)["info"]["artifact_uri"])
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "MLmodel").write_text("flavors: {}")
    (folder / "out").symlink_to(tmp_path)
    for source in (f"{folder}/model", f"file://{folder}/model", f"file:{folder}/model"):
        number = new_version(api, name, source, run_id=run_id)["version"]
        assert artifact(api, name, "MLmodel", number).text == "flavors: {}"
    for source in (
        f"{folder}/../secret",
        f"{folder}/%2e%2e/x/../../secret",
        f"{folder}-x",
        str(tmp_path),
        f"{folder}/a/../..",
    ):
        assert create_refused(api, name, source, run_id=run_id) == local(source)
    number = new_version(api, name, f"{folder}/out", run_id=run_id)["version"]
    leads_out = artifact(api, name, "secret", number)
    assert leads_out.status_code in (400, 404)
    assert "secret" not in leads_out.json()["message"].replace("/secret", "")
