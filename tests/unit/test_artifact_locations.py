"""Artifact URIs: how they are built, which are accepted from a client, and which this server serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from runnel.artifacts.locations import (
    append_to_uri_path,
    experiment_artifact_location,
    proxied_path,
    resolve_local_location,
    run_artifact_uri,
    validate_artifact_location,
)
from runnel.domain.errors import InvalidParameterValue


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("mlflow-artifacts:/", "mlflow-artifacts:/1"),
        ("mlflow-artifacts:/team", "mlflow-artifacts:/team/1"),
        ("mlflow-artifacts://host:5000/team/", "mlflow-artifacts://host:5000/team/1"),
        ("s3://bucket", "s3://bucket/1"),
        ("s3://bucket/prefix/", "s3://bucket/prefix/1"),
        ("s3://bucket/prefix?region=eu", "s3://bucket/prefix/1?region=eu"),
        ("file:///x", "file:///x/1"),
        ("file:x", "file:x/1"),
        ("/x", "/x/1"),
        ("./mlruns", "./mlruns/1"),
    ],
)
def test_an_experiment_lies_below_the_artifact_root(root: str, expected: str) -> None:
    assert experiment_artifact_location(root, "1") == expected


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("mlflow-artifacts:/1", "mlflow-artifacts:/1/ab/artifacts"),
        ("s3://bucket/1?x=y&z", "s3://bucket/1/ab/artifacts?x=y&z"),
        ("/x/1/", "/x/1/ab/artifacts"),
    ],
)
def test_a_run_lies_below_its_experiment_and_a_query_stays_behind_the_path(location: str, expected: str) -> None:
    assert run_artifact_uri(location, "ab") == expected


@pytest.mark.parametrize("query", ["../x", "a=..", "%2e%2e/x", "%252e%252e", "%" + "25" * 30 + "2e"])
def test_a_query_that_could_become_a_part_of_the_path_is_refused(query: str) -> None:
    with pytest.raises(InvalidParameterValue, match="^Invalid query string$"):
        append_to_uri_path(f"s3://bucket/x?{query}", "1")
    with pytest.raises(InvalidParameterValue, match="^Invalid query string$"):
        validate_artifact_location(f"s3://bucket/x?{query}")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/x",
        "s3://bucket/x?region=eu",
        "gs://b",
        "wasbs://c@a/x",
        "dbfs:/x",
        "mlflow-artifacts:/x",
        "/x",
        "x",
    ],
)
def test_a_location_that_names_no_host_is_accepted(uri: str) -> None:
    validate_artifact_location(uri)


@pytest.mark.parametrize("uri", ["s3://bucket/x#f", "/x;p", "http://host/x;p=1"])
def test_a_location_has_no_fragment_and_no_parameters(uri: str) -> None:
    with pytest.raises(InvalidParameterValue, match="^'artifact_location' URL can't include fragments or params.$"):
        validate_artifact_location(uri)


@pytest.mark.parametrize("uri", ["runs:/abc/x", "runs:abc", "RUNS:/abc/x", " runs:/abc"])
def test_a_location_is_not_that_of_another_run(uri: str) -> None:
    with pytest.raises(InvalidParameterValue, match="^Artifact location cannot be a runs:/ URI. Given: "):
        validate_artifact_location(uri)


@pytest.mark.parametrize("uri", ["s3://b/a\nb", "\thttp://h/x", "/x\0"])
def test_a_location_has_no_control_characters(uri: str) -> None:
    with pytest.raises(InvalidParameterValue, match="can't include control characters"):
        validate_artifact_location(uri)


def test_a_location_that_is_no_uri_is_refused() -> None:
    with pytest.raises(InvalidParameterValue, match="is not a valid URI"):
        validate_artifact_location("http://[x/y")


def test_a_location_has_at_most_2048_characters() -> None:
    validate_artifact_location("s3://" + "b" * 2043)
    with pytest.raises(InvalidParameterValue, match="cannot be greater than 2048 characters"):
        validate_artifact_location("s3://" + "b" * 2044)


FOREIGN = [
    "http://evil/x",
    "HTTPS://evil/x",
    "mlflow-artifacts://evil/x",
    "ftp:///x",
    "sftp://evil/x",
    "hdfs://evil/x",
    "viewfs://evil/x",
    "r2://bucket@evil/x",
    "b2://bucket@evil/x",
    "abfss://fs@evil/x",
    "http://trusted.example.evil/x",
    "http://trusted.example@evil/x",
    "http://trusted.example:8080/x",
    "http://trusted.example:99999/x",
    "http://trusted.example\\@evil/x",
    "http://trusted.example /x",
    "https://trusted.example/x",
]


@pytest.mark.parametrize("uri", FOREIGN)
def test_a_location_on_a_host_that_is_not_the_servers_is_refused(uri: str) -> None:
    with pytest.raises(InvalidParameterValue, match="addresses a host other than the tracking server's configured"):
        validate_artifact_location(uri, trusted_uris=["http://trusted.example/root"])


@pytest.mark.parametrize(
    "uri", ["http://trusted.example/x", "http://TRUSTED.example:80/y", "mlflow-artifacts://trusted.example/x"]
)
def test_a_location_on_the_servers_own_host_is_accepted(uri: str) -> None:
    validate_artifact_location(uri, trusted_uris=["/somewhere", "http://trusted.example/root"])


def test_a_scheme_the_operator_allows_may_name_any_host() -> None:
    validate_artifact_location("hdfs://namenode/x", allowed_schemes=["hdfs"])
    with pytest.raises(InvalidParameterValue):
        validate_artifact_location("ftp://namenode/x", allowed_schemes=["hdfs"])


def test_a_relative_local_location_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_local_location("x/y") == f"{tmp_path}/x/y"
    assert resolve_local_location("./x") == f"{tmp_path}/x"
    assert resolve_local_location("a%20b") == f"{tmp_path}/a b"
    assert resolve_local_location("file:x") == f"file://{tmp_path}/x"


@pytest.mark.parametrize(
    "uri", ["/x/y", "file:///x", "file:/x", "file://localhost/x", "s3://b/x", "mlflow-artifacts:/x"]
)
def test_any_other_location_stays_as_it_is(uri: str) -> None:
    assert resolve_local_location(uri) == uri


def test_a_file_of_another_host_is_refused() -> None:
    with pytest.raises(InvalidParameterValue, match="is not a valid remote uri"):
        resolve_local_location("file://host/x")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("mlflow-artifacts:/1/ab/artifacts", "1/ab/artifacts"),
        ("mlflow-artifacts:/", ""),
        ("mlflow-artifacts://host:5000/1/ab", "1/ab"),
        ("mlflow-artifacts://host", ""),
        ("http://host/api/2.0/mlflow-artifacts/artifacts/1/ab", "1/ab"),
        ("https://host/prefix/api/2.0/mlflow-artifacts/artifacts/1/ab", "1/ab"),
        ("mlflow-artifacts:/my%20team/1", "my team/1"),
        ("mlflow-artifacts:/a%2520b;c/1", "a%20b;c/1"),
        ("mlflow-artifacts:/1?x=y", "1"),
    ],
)
def test_a_uri_served_here_stands_for_a_path_below_the_destination(uri: str, path: str) -> None:
    assert proxied_path(uri) == path


@pytest.mark.parametrize(
    "uri",
    [
        "s3://b/x",
        "/x",
        "file:///x",
        "http://host/x",
        "http://host/?q=/api/2.0/mlflow-artifacts/artifacts/1",
        "",
        "http://[",
    ],
)
def test_any_other_uri_is_not_served_here(uri: str) -> None:
    assert proxied_path(uri) is None
