"""One bucket of S3, or of what speaks its protocol: the client, what its errors mean, and the check at the start.

boto3 is imported when S3 is first called, not with this module: it costs 20 MiB and most of a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from runnel.artifacts.store import StoreUnusable
from runnel.domain.errors import MlflowError, PermissionDenied, ResourceDoesNotExist, TemporarilyUnavailable

logger = logging.getLogger("runnel")

CONNECT_SECONDS = 5
READ_SECONDS = 60
ATTEMPTS = 3
# After a request found nobody, others are refused for this long without trying: threads that wait for an endpoint
# that is away would keep all others waiting.
AWAY_SECONDS = 1.0
# Connections kept for reuse; more are opened when more are needed.
POOLED_CONNECTIONS = 32

_REFUSED_CREDENTIALS = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
_REGION_CODES = frozenset(
    {"301", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
# What is wrong when a request of the check is answered with a code.
_SENTENCES = {
    "NoSuchBucket": "The bucket '{bucket}' does not exist at {endpoint}: create it, or correct the artifacts "
    "destination",
    "InvalidAccessKeyId": "S3 at {endpoint} does not know the access key: correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "S3 at {endpoint} does not accept the secret key: correct AWS_SECRET_ACCESS_KEY",
    "InvalidToken": "S3 at {endpoint} does not accept the session token: correct AWS_SESSION_TOKEN",
    "ExpiredToken": "The S3 credentials have expired: renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
    "AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "The clock of this machine differs from that of S3 at {endpoint}: set it right",
}


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How S3 is reached; the rest is found as boto3 finds it (``AWS_*``, its files, the role of the machine)."""

    endpoint_url: str | None = None
    # The same S3 as clients of the server reach it. A custom endpoint may have a name that only the server knows.
    public_endpoint_url: str | None = None
    region: str | None = None
    ignore_tls: bool = False
    addressing_style: str = "auto"  # or "path", "virtual"
    upload_extra_args: Mapping[str, Any] = field(default_factory=dict)  # of boto3's put_object
    expected_bucket_owner: str | None = None
    # Many stores that speak S3 do not take the checksums that boto3 sends to AWS by default.
    request_checksums: str = "when_required"  # or "when_supported"
    response_checksums: str = "when_required"
    download_url_seconds: int = 300  # for how long a presigned URL is valid when the client does not say

    @property
    def is_public(self) -> bool:
        """Whether clients of the server can reach S3: AWS, or a custom endpoint that is said to be public."""
        return self.endpoint_url is None or self.public_endpoint_url is not None


class S3Error(Exception):
    """S3 refused a request for a reason that lies in the request; ``code`` is S3's name of it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def is_not_found(self) -> bool:
        return self.code in ("NoSuchKey", "404")  # an answer to HEAD has no body, so no better code


class S3Bucket:
    """Requests to one bucket. Methods block, and may be called by many threads at once."""

    def __init__(self, name: str, settings: S3Settings) -> None:
        self.name = name
        self.settings = settings
        self._lock = threading.Lock()
        self._client: Any = None
        self._signer: Any = None
        self._away_until = 0.0

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One request by the name boto3 has for it; ``Bucket`` is added.

        Raises TemporarilyUnavailable when S3 is away or overloaded, PermissionDenied when it does not let the server
        in, ResourceDoesNotExist when there is no such bucket, and S3Error for what the caller may know a reason of.
        """
        from botocore import exceptions

        if time.monotonic() < self._away_until:
            raise self._is_away()
        try:
            answer = getattr(self._connected(), operation)(**self._complete(parameters))
        except exceptions.ClientError as error:
            raise _meaning(error) from error
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise PermissionDenied("This server has no credentials for the artifact store") from error
        except (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.CredentialRetrievalError) as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            logger.warning("S3 does not answer: %s", error)
            raise self._is_away() from error
        return cast("dict[str, Any]", answer)

    def read(self, body: Any, max_bytes: int) -> bytes:
        """Bytes of the streaming body of an answer; raises TemporarilyUnavailable when the connection breaks."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        try:
            return cast(bytes, body.read(max_bytes))
        except (HTTPClientError, IncompleteReadError) as error:
            raise TemporarilyUnavailable("The connection to the artifact store broke") from error

    def presign(self, operation: str, expires_in: int, **parameters: Any) -> tuple[str, dict[str, str]]:
        """The URL of a request that somebody else may send for some seconds, and the headers signed with it."""
        signer = self._signing()
        parameters = self._complete(parameters)
        url = signer.generate_presigned_url(operation, Params=parameters, ExpiresIn=expires_in)
        headers = {}
        for name, shape in self._members(operation).items():
            location = shape.serialization.get("location")
            if name in parameters and location == "header":
                headers[shape.serialization["name"]] = _header_value(parameters[name])
            elif name in parameters and location == "headers":  # Metadata: a header for each entry
                headers |= {shape.serialization["name"] + key: text for key, text in parameters[name].items()}
        return url, headers

    def upload_arguments(self, operation: str) -> dict[str, Any]:
        """What the settings add to a request of an upload: to its first one all, to others what they can take."""
        extra = self.settings.upload_extra_args
        if operation in ("put_object", "create_multipart_upload"):
            return dict(extra)
        members = self._members(operation) if extra else {}
        return {name: value for name, value in extra.items() if name in members}

    def _members(self, operation: str) -> Mapping[str, Any]:
        meta = self._connected().meta
        model = meta.service_model.operation_model(meta.method_to_api_mapping[operation])
        return cast("Mapping[str, Any]", model.input_shape.members)

    def _complete(self, parameters: dict[str, Any]) -> dict[str, Any]:
        parameters["Bucket"] = self.name
        if self.settings.expected_bucket_owner:
            parameters["ExpectedBucketOwner"] = self.settings.expected_bucket_owner
        return parameters

    def _is_away(self) -> TemporarilyUnavailable:
        return TemporarilyUnavailable("The artifact store does not answer; try again later")

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _connect(self.settings)
            return self._client

    def _signing(self) -> Any:
        public_url = self.settings.public_endpoint_url
        if public_url is None:
            return self._connected()
        with self._lock:
            if self._signer is None:
                self._signer = _connect(replace(self.settings, endpoint_url=public_url))
            return self._signer

    # At the start

    def check(self, key: str) -> None:
        """Writes, reads, lists and deletes one small object; raises StoreUnusable, which names the wrong setting."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        action = "to connect"
        content = b"A check that the server can write, read and delete here."
        try:
            client = self._connected()
            action = "to write an object"
            client.put_object(**self._complete({"Key": key, "Body": content, **self.upload_arguments("put_object")}))
            action = "to read an object"
            found = client.get_object(**self._complete({"Key": key}))["Body"].read()
            action = "to list objects"
            client.list_objects_v2(**self._complete({"Prefix": key}))
            action = "to delete an object"
            client.delete_object(**self._complete({"Key": key}))
            action = "to find the bucket's region"
            headers = client.head_bucket(**self._complete({}))["ResponseMetadata"]["HTTPHeaders"]
        except ClientError as error:
            raise StoreUnusable(self._sentence_of_answer(error, action)) from error
        except ResponseParserError as error:
            raise StoreUnusable(
                f"What answers at {self._endpoint()} is not S3: correct MLFLOW_S3_ENDPOINT_URL"
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise StoreUnusable(self._sentence_of_failure(error)) from error
        if found != content:
            raise StoreUnusable(
                f"What answers at {self._endpoint()} does not give back what was written: correct "
                "MLFLOW_S3_ENDPOINT_URL"
            )
        region = headers.get("x-amz-bucket-region", "")
        # Others name regions as they like; AWS would refuse the URLs that are made for clients.
        if ".amazonaws.com" in self._endpoint() and region not in ("", client.meta.region_name):
            raise StoreUnusable(self._wrong_region(region))

    def _endpoint(self) -> str:
        if self._client is None:
            return self.settings.endpoint_url or "AWS"
        return cast(str, self._client.meta.endpoint_url)

    def _sentence_of_answer(self, error: Any, action: str) -> str:
        code, message = _code(error), error.response["Error"].get("Message", "")
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        if code in _SENTENCES:
            return _SENTENCES[code].format(bucket=self.name, endpoint=self._endpoint())
        if code in _REGION_CODES:
            return self._wrong_region(error.response["Error"].get("Region") or headers.get("x-amz-bucket-region"))
        if _status(error) in (401, 403):
            return (
                f"S3 at {self._endpoint()} does not allow {action} in the bucket '{self.name}' ({code}: {message}): "
                "the server needs s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket"
            )
        if code.isdigit():  # S3 would have said in a body what it refuses
            return f"What answers at {self._endpoint()} is not S3 ({code} {message}): correct MLFLOW_S3_ENDPOINT_URL"
        return f"S3 at {self._endpoint()} did not take the request {action} in '{self.name}': {code}: {message}"

    def _sentence_of_failure(self, error: Exception) -> str:
        from botocore import exceptions

        match error:
            case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
                return "No S3 credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            case exceptions.InvalidRegionError():
                return f"The region is not one ({error}): correct AWS_DEFAULT_REGION"
            case exceptions.ParamValidationError():
                reason = " ".join(str(error).partition(", must be one of")[0].split())
                return f"MLFLOW_S3_UPLOAD_EXTRA_ARGS cannot be used: {reason}"
            case exceptions.SSLError():
                return (
                    f"There is no trusted TLS connection to S3 at {self._endpoint()}: correct MLFLOW_S3_ENDPOINT_URL, "
                    f"set AWS_CA_BUNDLE to a file of authorities, or MLFLOW_S3_IGNORE_TLS=true ({error})"
                )
            case exceptions.ConnectionError() | exceptions.HTTPClientError():
                return f"S3 at {self._endpoint()} does not answer: correct MLFLOW_S3_ENDPOINT_URL or start it ({error})"
        return f"S3 cannot be used: {' '.join(str(error).split())}"

    def _wrong_region(self, region: str | None) -> str:
        used = self._client.meta.region_name
        where = f"in the region {region}" if region else "in another region"
        return f"The bucket '{self.name}' is {where}, not in {used}: set AWS_DEFAULT_REGION to the bucket's region"


def _connect(settings: S3Settings) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": settings.addressing_style},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=POOLED_CONNECTIONS,
        request_checksum_calculation=settings.request_checksums,
        response_checksum_validation=settings.response_checksums,
    )
    return boto3.session.Session(region_name=settings.region).client(
        "s3", config=config, endpoint_url=settings.endpoint_url, verify=False if settings.ignore_tls else None
    )


def _meaning(error: Any) -> MlflowError | S3Error:
    """What a refusal means for the client that asked for an artifact."""
    code, status = _code(error), _status(error)
    if status >= 500 or status == 429 or code == "RequestTimeout":
        return TemporarilyUnavailable(f"The artifact store cannot answer now ({code}); try again later")
    if status in (401, 403) or code in _REFUSED_CREDENTIALS:
        return PermissionDenied(f"The artifact store does not allow this server to do that ({code})")
    if code == "NoSuchBucket":
        return ResourceDoesNotExist("The bucket of the artifact store does not exist")
    return S3Error(code, error.response["Error"].get("Message", ""))


def _code(error: Any) -> str:
    return str(error.response["Error"].get("Code", ""))


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def _header_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
