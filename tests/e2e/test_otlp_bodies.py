"""Bodies of spans: packed in several ways, too large, and made to fill the memory."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator

import pytest
import zstandard

from tests.api_client import Api, invalid, refusal
from tests.conftest import StartServer
from tests.trace_requests import attributes_of, export_request, get_spans, new_otel_id, otel_span, send_body

LIMIT = 1_000_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "in capitals": ("GZIP", gzip.compress),
    "several members": ("gzip", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
    "zstd": ("zstd", zstandard.compress),
    "several frames": ("zstd", lambda data: zstandard.compress(data[:100]) + zstandard.compress(data[100:])),
    "none": ("identity", lambda data: data),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_packed_body_is_unpacked(api: Api, experiment_id: str, packing: str) -> None:
    encoding, pack = PACKINGS[packing]
    otel_id = new_otel_id()
    body = export_request(otel_span(otel_id, attributes={"x": os.urandom(20_000).hex()})).SerializeToString()
    response = send_body(api, experiment_id, pack(body), content_encoding=encoding)
    assert response.status_code == 200, response.text
    assert len(get_spans(api, f"tr-{otel_id}")) == 1


BROKEN = {
    "no gzip": ("gzip", lambda body: body, "The body is not valid gzip: "),
    "half of gzip": ("gzip", lambda body: gzip.compress(body)[:-10], "The gzip body ends early"),
    "rubbish behind gzip": ("gzip", lambda body: gzip.compress(body) + b"rubbish", "The body is not valid gzip: "),
    "no deflate": ("deflate", lambda body: b"\xff" + body, "The body is not valid deflate: "),
    "no zstd": ("zstd", lambda body: body, "The body is not valid zstd: "),
    "half of zstd": ("zstd", lambda body: zstandard.compress(body)[:-10], "The zstd body ends early"),
    "many members": ("gzip", lambda body: gzip.compress(b"") * 101, "The gzip body has more than 100 members"),
    "unknown": ("br", lambda body: body, "Unsupported Content-Encoding 'br'; gzip, deflate and zstd are read"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_body_that_cannot_be_unpacked_is_refused_with_the_reason(api: Api, experiment_id: str, case: str) -> None:
    encoding, spoil, reason = BROKEN[case]
    body = export_request(otel_span(new_otel_id(), attributes={"x": "y" * 5000})).SerializeToString()
    refused = refusal(send_body(api, experiment_id, spoil(body), content_encoding=encoding))
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.message.startswith(reason)


@pytest.fixture
def small_api(start_server: StartServer) -> Iterator[Api]:
    """A server that takes bodies of a million bytes."""
    client = Api(start_server("--max-request-bytes", str(LIMIT)).url)
    yield client
    client.close()


def test_a_body_past_the_limit_is_refused_whether_it_says_its_length_or_not(small_api: Api) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(LIMIT // 10)

    message = f"The request body is larger than the {LIMIT} bytes allowed (--max-request-bytes)"
    for content in (bytes(LIMIT + 1), chunks()):
        headers = {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": "0"}
        response = small_api.send("POST", "/v1/traces", content=content, headers=headers)
        assert (response.status_code, response.json()["message"]) == (413, message)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", lambda data: gzip.compress(data)),
        ("gzip", lambda data: gzip.compress(data[: LIMIT // 2]) * 90),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("zstd", zstandard.compress),
    ],
)
def test_a_small_body_that_unpacks_past_the_limit_is_refused(
    small_api: Api, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    bomb = pack(bytes(50 * LIMIT))
    assert len(bomb) < LIMIT
    response = send_body(small_api, "0", bomb, content_encoding=encoding)
    message = f"The decompressed body is larger than the {LIMIT} bytes allowed (--max-request-bytes)"
    assert (response.status_code, response.json()["message"]) == (413, message)


def test_more_spans_than_a_request_may_hold_are_refused(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    spans = [otel_span(otel_id, number) for number in range(1, 50_002)]
    response = send_body(api, experiment_id, export_request(*spans).SerializeToString())
    assert refusal(response) == invalid("A request can contain at most 50000 spans")


def nested_fields(*numbers: int, content: bytes) -> bytes:
    """Fields of protobuf within each other, the outermost first."""
    for number in reversed(numbers):
        length, rest = b"", len(content)
        while rest > 0x7F:
            length += bytes([rest & 0x7F | 0x80])
            rest >>= 7
        content = bytes([number << 3 | 2]) + length + bytes([rest]) + content
    return content


# Bodies of 4 MB that hold two million messages, which would take hundreds of megabytes.
CROWDED = {
    "resources": (lambda: b"\x0a\x00" * 2_000_000, "A request can contain at most 250000 fields of protobuf"),
    "scopes": (
        lambda: nested_fields(1, content=b"\x12\x00" * 2_000_000),
        "A request can contain at most 250000 fields of protobuf",
    ),
    "attributes": (
        lambda: nested_fields(1, 2, 2, content=b"\x4a\x00" * 2_000_000),
        "A span can contain at most 200000 fields of protobuf",
    ),
    "attributes of the resource": (
        lambda: nested_fields(1, 1, content=b"\x0a\x00" * 2_000_000),
        "A resource can contain at most 200000 fields of protobuf",
    ),
    "items in many spans": (
        lambda: export_request(
            *[otel_span(new_otel_id(), attributes={"x": [None] * 30_000}) for _ in range(40)]
        ).SerializeToString(),
        "A request can contain at most 1000000 attributes, events, links and items of values",
    ),
    "JSON in an attribute": (
        lambda: export_request(
            otel_span(new_otel_id(), attributes={"x": f"[{'{},' * 1_300_000}1]"})
        ).SerializeToString(),
        "A request can contain at most 1000000 JSON values",
    ),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("case", CROWDED)
def test_a_body_of_too_many_messages_is_refused_before_they_fill_the_memory(
    api: Api, experiment_id: str, case: str, pack: Callable[[bytes], bytes]
) -> None:
    body, message = CROWDED[case]
    encoding = "identity" if pack is bytes else "gzip"
    response = send_body(api, experiment_id, pack(body()), content_encoding=encoding)
    assert (response.status_code, response.json()["message"]) == (413, message)


def test_json_of_too_many_values_is_refused_by_every_endpoint(api: Api, experiment_id: str) -> None:
    body = b'{"experiment_id": [' + b"{}," * 500_001 + b"{}]}"
    message = "A request can contain at most 1000000 JSON values"
    for response in (
        send_body(api, experiment_id, body, content_type="application/json"),
        api.send("POST", "/api/2.0/mlflow/runs/create", content=body, headers={"content-type": "application/json"}),
    ):
        assert (response.status_code, response.json()["message"]) == (413, message)


def test_an_attribute_of_very_many_values_is_answered_as_its_text(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    text = f"[{'{},' * 150_000}1]"
    response = send_body(
        api, experiment_id, export_request(otel_span(otel_id, attributes={"x": text})).SerializeToString()
    )
    assert response.status_code == 200
    (span,) = get_spans(api, f"tr-{otel_id}")
    assert attributes_of(span)["x"] == {"string_value": text}
