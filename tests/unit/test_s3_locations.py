"""Which S3 URIs lie below another."""

from __future__ import annotations

import pytest

from runnel.artifacts.locations import experiment_artifact_location, path_below, run_artifact_uri


@pytest.mark.parametrize("root", ["s3://bucket/a/b", "s3://bucket/a/b/", "S3://bucket/a/b"])
def test_a_run_below_a_root_in_s3_has_the_path_of_its_key(root: str) -> None:
    uri = run_artifact_uri(experiment_artifact_location(root, "7"), "r")
    assert path_below(root, uri) == "7/r/artifacts"


def test_the_whole_bucket_may_be_the_root() -> None:
    assert path_below("s3://bucket", "s3://bucket/a/b") == "a/b"
    assert path_below("s3://bucket/", "s3://bucket/a") == "a"


def test_a_key_is_taken_as_it_is_written() -> None:
    assert path_below("s3://bucket/a%20b", "s3://bucket/a%20b/c%2Fd") == "c%2Fd"
    assert path_below("s3://bucket/a b", "s3://bucket/a%20b/c") is None


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a",
        "s3://bucket/a/",
        "s3://bucket/ab/c",
        "s3://bucket/b/c",
        "s3://other/a/c",
        "s3://bucket.evil/a/c",
        "s3://bucket@evil/a/c",
        "s3://bucket:80/a/c",
        "s3://bucket/a/c?versionId=1",
        "s3a://bucket/a/c",
        "mlflow-artifacts:/a/c",
        "/bucket/a/c",
        "file:///bucket/a/c",
    ],
)
def test_what_lies_elsewhere_is_not_below(uri: str) -> None:
    assert path_below("s3://bucket/a", uri) is None


def test_a_path_of_this_machine_is_not_below_s3_and_the_reverse() -> None:
    assert path_below("/a", "s3://bucket/a/b") is None
    assert path_below("s3://bucket/a", "/a/b") is None


def test_dots_stay_for_the_store_to_refuse() -> None:
    assert path_below("s3://bucket/a", "s3://bucket/a/../secret") == "../secret"
