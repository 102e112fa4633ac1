"""How S3 is reached, by the variables of the environment."""

from __future__ import annotations

import os

import pytest

from runnel.artifacts.s3 import S3Settings
from runnel.config import s3_arguments


def s3_settings() -> S3Settings:
    return S3Settings(**s3_arguments())


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "AWS_"))]:
        monkeypatch.delenv(name)


def test_without_variables_boto3_decides() -> None:
    assert s3_settings() == S3Settings()


def test_the_variables_of_mlflow_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "MLFLOW_S3_ENDPOINT_URL": "http://minio:9000",
        "MLFLOW_S3_IGNORE_TLS": "True",
        "MLFLOW_S3_UPLOAD_EXTRA_ARGS": '{"ServerSideEncryption": "aws:kms"}',
        "MLFLOW_S3_EXPECTED_BUCKET_OWNER": "111122223333",
        "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
        "MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS": "60",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "WHEN_SUPPORTED",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_supported",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert s3_settings() == S3Settings(
        endpoint_url="http://minio:9000",
        region="eu-west-1",
        ignore_tls=True,
        addressing_style="path",
        upload_extra_args={"ServerSideEncryption": "aws:kms"},
        expected_bucket_owner="111122223333",
        request_checksums="when_supported",
        response_checksums="when_supported",
        download_url_seconds=60,
    )


def test_the_region_may_be_named_as_other_programs_of_aws_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert s3_settings().region == "eu-west-2"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert s3_settings().region == "eu-west-1"


def test_the_endpoint_may_be_named_as_other_programs_of_aws_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL")  # the last one counts most
    for number, name in enumerate(names):
        monkeypatch.setenv(name, f"http://s3-{number}")
        assert s3_settings().endpoint_url == f"http://s3-{number}"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_S3_ENDPOINT_URL", "MLFLOW_S3_UPLOAD_EXTRA_ARGS", "MLFLOW_S3_IGNORE_TLS", "AWS_REGION"):
        monkeypatch.setenv(name, "")
    assert s3_settings() == S3Settings()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (
            "MLFLOW_S3_ENDPOINT_URL",
            "minio:9000",
            "must be a URL that begins with http:// or https://, not 'minio:9000'",
        ),
        ("MLFLOW_S3_IGNORE_TLS", "yes", "must be one of false, 0, true, 1, not 'yes'"),
        ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "dns", "must be one of auto, path, virtual, not 'dns'"),
        ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "ACL=private", "is not JSON"),
        ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", '["ACL"]', "must be a JSON object"),
        ("MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS", "0", "must be a number of seconds from 1 to 604800, not '0'"),
        ("MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS", "604801", "from 1 to 604800, not '604801'"),
        ("MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS", "5m", "from 1 to 604800, not '5m'"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^{name} ") as raised:
        s3_settings()
    assert problem in str(raised.value)
