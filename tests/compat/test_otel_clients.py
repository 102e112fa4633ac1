"""Programs without mlflow send their traces: OpenTelemetry's own exporter, and logfire, set by the usual variables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Span, Trace

from tests.server_process import ServerProcess, clean_environment

BACKENDS = ["sqlite"]

OPENTELEMETRY = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("shop", "1.2")
with tracer.start_as_current_span("ask", attributes={"session.id": "chat-1"}) as ask:
    with tracer.start_as_current_span("embed", links=[trace.Link(ask.get_span_context())]) as embed:
        embed.add_event("cache", {"hit": False, "sizes": [1, 2]})
    try:
        with tracer.start_as_current_span("chat", kind=trace.SpanKind.CLIENT) as chat:
            chat.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "parrot-7b"})
            chat.set_attributes({"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 2})
            raise TimeoutError("the model is slow")
    except TimeoutError:
        pass
provider.shutdown()
"""

LOGFIRE = """
import logfire

logfire.configure(send_to_logfire=False, console=False)
with logfire.span("ask {question}", question="why?", _tags=["shop"]):
    usage = {"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 0}
    with logfire.span("chat", **{"gen_ai.operation.name": "chat"}, **usage):
        logfire.info("the model thinks about {subject}", subject=["birds", "bees"])
try:
    with logfire.span("fail"):
        raise ValueError("no such order")
except ValueError:
    pass
logfire.shutdown()
"""


def send(script: str, server: ServerProcess, experiment_id: str, **variables: str) -> str:
    """Runs a program that is pointed at the server; what it said, which is nothing if all went well."""
    program = Path("program.py")  # in a file, as logfire reads the source of what calls it
    program.write_text(script)
    done = subprocess.run(
        [sys.executable, str(program)],
        env={name: value for name, value in clean_environment().items() if not name.startswith(("OTEL_", "LOGFIRE_"))}
        | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-mlflow-experiment-id={experiment_id}",
            "OTEL_SERVICE_NAME": "shop",
        }
        | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def traces(experiment_id: str) -> list[Trace]:
    """The traces of an experiment, the oldest first, as the mlflow client reads them."""
    return mlflow.search_traces(locations=[experiment_id], order_by=["timestamp ASC"], return_type="list")


def spans_by_name(trace: Trace) -> dict[str, Span]:
    return {span.name: span for span in trace.data.spans}


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_the_exporter_of_opentelemetry_sends_its_spans(
    server: ServerProcess, experiment_id: str, compression: str
) -> None:
    assert send(OPENTELEMETRY, server, experiment_id, OTEL_EXPORTER_OTLP_COMPRESSION=compression) == ""
    (trace,) = traces(experiment_id)
    assert trace.info.trace_metadata["mlflow.trace.session"] == "chat-1"
    assert trace.info.tags["service.name"] == "shop"
    assert trace.info.token_usage == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    spans = spans_by_name(trace)
    ask, embed, chat = spans["ask"], spans["embed"], spans["chat"]
    assert (ask.parent_id, embed.parent_id, chat.parent_id) == (None, ask.span_id, ask.span_id)
    (event,) = embed.events
    assert (event.name, event.attributes) == ("cache", {"hit": False, "sizes": [1, 2]})
    assert (chat.span_type, chat.model_name) == ("CHAT_MODEL", "parrot-7b")
    assert (chat.status.status_code, chat.status.description) == ("ERROR", "TimeoutError: the model is slow")
    (failure,) = chat.events
    assert failure.attributes["exception.message"] == "the model is slow"


def test_a_program_with_an_unknown_experiment_is_told_so(server: ServerProcess, experiment_id: str) -> None:
    assert "Failed to export spans batch code: 404" in send(OPENTELEMETRY, server, "987654321")
    assert traces(experiment_id) == []


def test_logfire_sends_its_spans_and_logs(server: ServerProcess, experiment_id: str) -> None:
    assert send(LOGFIRE, server, experiment_id) == ""
    asked, failed = traces(experiment_id)
    assert (asked.info.state, failed.info.state) == ("OK", "ERROR")
    assert asked.info.token_usage == {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}
    spans = spans_by_name(asked)
    ask, chat = spans["ask {question}"], spans["chat"]
    log = spans["the model thinks about {subject}"]
    assert (ask.parent_id, chat.parent_id, log.parent_id) == (None, ask.span_id, chat.span_id)
    assert (ask.attributes["question"], ask.attributes["logfire.msg"]) == ("why?", "ask why?")
    assert log.attributes["logfire.msg"] == "the model thinks about ['birds', 'bees']"
    (failure,) = spans_by_name(failed)["fail"].events
    assert failure.attributes["exception.type"] == "ValueError"
