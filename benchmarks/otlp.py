"""Export requests of OpenTelemetry's protocol, in protobuf, byte by byte: so little needs no library."""

import json
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

SPANS = 10
CATEGORIES = 10
START_MS = 1_700_000_000_000


@dataclass(frozen=True)
class TraceSeed:
    """What is searched of a seeded trace: when it began, how long it took, and its tag."""

    otel_id: str
    start_ms: int
    duration_ms: int
    category: str

    @classmethod
    def of(cls, number: int) -> "TraceSeed":
        """The trace with that number; the same for every server, but for its id."""
        duration = random.Random(number).randint(1, 1_000)
        return cls(secrets.token_hex(16), START_MS + number, duration, f"category_{number % CATEGORIES}")


def otlp_body(seeds: Sequence[TraceSeed], spans: int) -> bytes:
    """The request that carries these traces, each of a root and calls of a model below it."""
    content = b"".join(_field(2, _span(seed, number)) for seed in seeds for number in range(1, spans + 1))
    return _field(1, _field(2, content))


def _span(seed: TraceSeed, number: int) -> bytes:
    start = seed.start_ms * 1_000_000
    attributes = {
        "mlflow.spanType": "CHAIN" if number == 1 else "LLM",
        "mlflow.spanInputs": json.dumps({"messages": [{"role": "user", "content": f"Question {number}? " * 10}]}),
        "mlflow.spanOutputs": json.dumps({"role": "assistant", "content": f"Answer {number}. " * 15}),
    }
    if number == 1:
        attributes["mlflow.traceTag.category"] = seed.category
    else:
        attributes["mlflow.llm.model"] = "gpt-4o-mini"
        attributes["mlflow.chat.tokenUsage"] = json.dumps({"input_tokens": 9, "output_tokens": 3, "total_tokens": 12})
    return b"".join(
        (
            _field(1, bytes.fromhex(seed.otel_id)),
            _field(2, number.to_bytes(8, "big")),
            _field(4, (1).to_bytes(8, "big")) if number > 1 else b"",
            _field(5, f"step_{number}".encode()),
            _fixed64(7, start),
            _fixed64(8, start + seed.duration_ms * 1_000_000),
            *(
                _field(9, _field(1, key.encode()) + _field(2, _field(1, value.encode())))
                for key, value in attributes.items()
            ),
            _field(15, b"\x18\x01"),  # status: ok
        )
    )


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _fixed64(number: int, value: int) -> bytes:
    return bytes([number << 3 | 1]) + value.to_bytes(8, "little")


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
