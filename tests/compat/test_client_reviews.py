"""mlflow.genai.label_schemas and mlflow.genai.review_queues, as people who have traces reviewed use them."""

from __future__ import annotations

from typing import Any

import mlflow
import pytest
from mlflow.exceptions import RestException
from mlflow.genai import label_schemas, review_queues
from mlflow.genai.label_schemas import InputCategorical, InputNumeric, InputPassFail, InputText, LabelSchema

BACKENDS = ["sqlite"]

INPUTS = [
    InputPassFail("good", "bad"),
    InputCategorical(["a", "b"], multi_select=True),
    InputNumeric(min_value=0.5),
    InputNumeric(),
    InputText(max_length=7),
    InputText(),
]


def new_schema(name: str = "Is it right?", **fields: Any) -> LabelSchema:
    values: dict[str, Any] = {"type": "feedback", "input": InputPassFail("yes", "no")}
    schema: LabelSchema = label_schemas.create_label_schema(name, **values | fields)
    return schema


def new_traces(count: int) -> list[str]:
    """The ids of new traces, sorted."""
    traces = []
    for _ in range(count):
        with mlflow.start_span("answer") as span:
            span.set_outputs("no idea")
        traces.append(span.trace_id)
    mlflow.flush_trace_async_logging()
    return sorted(traces)


@pytest.mark.parametrize("given", INPUTS, ids=str)
def test_a_label_schema_is_found_again_as_it_was_created(experiment_id: str, given: Any) -> None:
    schema = new_schema(type="expectation", input=given, instruction="Read it all.", enable_comment=True)
    assert (schema.name, schema.type, schema.input) == ("Is it right?", "expectation", given)
    assert (schema.instruction, schema.enable_comment, schema.is_default) == ("Read it all.", True, False)
    assert schema.experiment_id == experiment_id
    assert label_schemas.get_label_schema("Is it right?", experiment_id=experiment_id) == schema
    assert label_schemas.get_label_schema(schema_id=schema.schema_id) == schema


def test_label_schemas_are_listed_changed_and_deleted(experiment_id: str) -> None:
    (default,) = label_schemas.list_label_schemas()
    assert (default.name, default.is_default, default.input) == ("Feedback", True, InputText())
    schema = new_schema(input=InputCategorical(["a"]))
    assert [each.name for each in label_schemas.list_label_schemas()] == ["Is it right?", "Feedback"]
    changed = label_schemas.update_label_schema(schema.schema_id, name="Which?", input=InputCategorical(["b", "c"]))
    assert (changed.name, changed.input) == ("Which?", InputCategorical(["b", "c"]))
    page = label_schemas.list_label_schemas(max_results=1)
    assert ([each.name for each in page], bool(page.token)) == (["Which?"], True)
    assert list(label_schemas.list_label_schemas(max_results=1, page_token=page.token)) == [default]
    label_schemas.delete_label_schema(schema_id=schema.schema_id)
    assert label_schemas.list_label_schemas() == [default]
    with pytest.raises(RestException, match="The experiment's default question cannot be deleted"):
        label_schemas.delete_label_schema(schema_id=default.schema_id)


def test_a_queue_is_found_again_as_it_was_created(experiment_id: str) -> None:
    schema = new_schema()
    queue = review_queues.create_review_queue(
        "Triage", queue_type="custom", users=["Bob", "ann"], schema_ids=[schema.schema_id]
    )
    assert (queue.name, queue.queue_type, queue.users) == ("Triage", "custom", ["ann", "bob"])
    assert (queue.schema_ids, queue.experiment_id) == ([schema.schema_id], experiment_id)
    assert review_queues.get_review_queue(name="triage") == queue
    assert review_queues.get_review_queue(queue_id=queue.queue_id) == queue
    with pytest.raises(RestException, match="already exists") as caught:
        review_queues.create_review_queue("TRIAGE", queue_type="custom")
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"


def test_queues_are_listed_changed_and_deleted(experiment_id: str) -> None:
    own = review_queues.get_or_create_user_queue("Ann")
    assert (own.name, own.queue_type, own.created_by, own.users) == ("ann", "user", "ann", ["ann"])
    assert review_queues.get_or_create_user_queue("ann") == own
    queue = review_queues.create_review_queue("Triage", queue_type="custom", users=["bob"])
    assert [each.name for each in review_queues.list_review_queues()] == ["Triage", "ann"]
    assert [each.name for each in review_queues.list_review_queues(user="ANN")] == ["ann"]
    changed = review_queues.update_review_queue(queue.queue_id, name="Second look", users=[])
    assert (changed.name, changed.users) == ("Second look", [])
    review_queues.delete_review_queue(queue.queue_id)
    assert review_queues.list_review_queues() == [own]


def test_traces_are_reviewed_one_after_the_other(experiment_id: str) -> None:
    traces = new_traces(3)
    queue = review_queues.get_or_create_user_queue("ann")
    items = review_queues.add_items_to_review_queue(queue.queue_id, item_ids=traces)
    assert [(item.item_id, item.status, item.item_type) for item in items] == [
        (trace_id, "pending", "trace") for trace_id in traces
    ]
    done = review_queues.set_review_queue_item_status(
        queue.queue_id, item_id=traces[0], status="complete", completed_by="Ann"
    )
    assert (done.status, done.completed_by, done.completed_time_ms is None) == ("complete", "ann", False)
    pending = review_queues.list_review_queue_items(queue.queue_id, status="pending", max_results=1)
    assert ([item.item_id for item in pending], bool(pending.token)) == (traces[1:2], True)
    assert review_queues.list_review_queue_items(queue.queue_id, status="complete") == [done]
    opened = review_queues.set_review_queue_item_status(queue.queue_id, item_id=traces[0], status="pending")
    assert (opened.status, opened.completed_by) == ("pending", None)
    review_queues.remove_items_from_review_queue(queue.queue_id, item_ids=traces[:1])
    mlflow.MlflowClient().delete_traces(experiment_id, trace_ids=traces[1:2])
    assert [item.item_id for item in review_queues.list_review_queue_items(queue.queue_id)] == traces[2:]
