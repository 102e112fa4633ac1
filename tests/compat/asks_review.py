"""Requests about label schemas and review queues, in the order in which they are sent: behind those about issues."""

from __future__ import annotations

from typing import Any

from tests.compat.asks_issues import TRACES
from tests.compat.exchange import Ask

_SCHEMAS = "/api/3.0/mlflow/label-schemas"
_QUEUES = "/api/3.0/mlflow/review-queues"
_TEXT: dict[str, Any] = {"text": {}}


def _schema(what: str, keep: str = "", **fields: Any) -> Ask:
    body = {"experiment_id": "$re", "type": "FEEDBACK", "input": _TEXT} | fields
    return Ask(
        f"create schema {what}",
        "POST",
        f"{_SCHEMAS}/create",
        body,
        keep={keep: "label_schema.schema_id"} if keep else {},
    )


def _input(what: str, input_: Any, keep: str = "") -> Ask:
    return _schema(f"with {what}", keep, name=f"i {what}", input=input_)


def _get_schema(what: str, path: str, **query: Any) -> Ask:
    return Ask(what, "GET", f"{_SCHEMAS}/{path}", query=query)


def _update_schema(what: str, schema: str = "$text", **fields: Any) -> Ask:
    return Ask(f"update schema {what}", "PATCH", f"{_SCHEMAS}/update", {"schema_id": schema} | fields)


def _delete_schema(what: str, **fields: Any) -> Ask:
    return Ask(f"delete schema {what}", "DELETE", f"{_SCHEMAS}/delete", fields)


SCHEMAS = [
    _schema("with what it needs", "text", name="q"),
    _schema(
        "of an expectation",
        "choice",
        name="Which?",
        type=2,
        input={"categorical": {"options": ["a", "b"]}},
        instruction="Choose.",
        enable_comment=True,
    ),
    _schema("of a taken name", name="q"),
    _schema("of a name in another case", "schema_1", name="Q"),
    _schema("of the reserved name", name=" feedback "),
    _schema("of no name", name=""),
    _schema("of a name too long", name="n" * 251),
    _schema("of no type", name="t", type=None),
    _schema("of type 0", name="t", type=0),
    _schema("of a type that is none", name="t", type="OPINION"),
    _schema("with instructions too long", name="t", instruction="i" * 1_001),
    _schema("with empty instructions", "schema_2", name="empty", instruction=""),
    _schema("with what clients cannot say", "schema_3", name="said", created_by="me", is_default=True),
    _schema("in an experiment not there", name="q", experiment_id="987"),
    _schema("in a deleted experiment", name="q", experiment_id="$rg"),
    _schema("in an experiment of a wrong id", name="q", experiment_id="x"),
    _schema("in the other experiment", "elsewhere", name="q", experiment_id="$ro"),
    _input("no input", None),
    _input("an empty input", {}),
    _input("an unknown input", {"colour": {}}),
    _input("two inputs", {"text": {}, "numeric": {}}),
    _input("text as input", "text"),
    _input("labels", {"pass_fail": {"positive_label": "good", "negative_label": "bad"}}, "schema_4"),
    _input("no labels", {"pass_fail": {}}),
    _input("one label twice", {"pass_fail": {"positive_label": "a", "negative_label": "a"}}),
    _input("a label too long", {"pass_fail": {"positive_label": "a" * 65, "negative_label": "a"}}),
    _input("several choices", {"categorical": {"options": ["a", "b"], "multi_select": True}}, "schema_5"),
    _input("no options", {"categorical": {}}),
    _input("an option twice", {"categorical": {"options": ["a", "a"]}}),
    _input("an empty option", {"categorical": {"options": ["a", ""]}}),
    _input("too many options", {"categorical": {"options": [str(number) for number in range(11)]}}),
    _input("an option too long", {"categorical": {"options": ["a" * 65]}}),
    _input("a number", {"numeric": {}}, "schema_6"),
    _input("a number above", {"numeric": {"min_value": 1}}, "schema_7"),
    _input("a range", {"numeric": {"min_value": "-0.5", "max_value": 2}}, "schema_8"),
    _input("an empty range", {"numeric": {"min_value": 1, "max_value": 1}}),
    _input("a longest text", {"text": {"max_length": "7"}}, "schema_9"),
    _input("a text without room", {"text": {"max_length": 0}}),
    _get_schema("get schema", "get", schema_id="$choice"),
    _get_schema("get schema not there", "get", schema_id="x"),
    _get_schema("get schema without an id", "get"),
    _get_schema("get schema by name", "get-by-name", experiment_id="$re", name="q"),
    _get_schema("get schema by a name not there", "get-by-name", experiment_id="$re", name="none"),
    _get_schema("get default schema before the first list", "get-by-name", experiment_id="$re", name="Feedback"),
    _get_schema("get schema by name of an experiment not there", "get-by-name", experiment_id="987", name="q"),
    _get_schema("get schema by no name", "get-by-name", experiment_id="$re"),
    Ask(
        "list schemas of the other experiment",
        "GET",
        f"{_SCHEMAS}/list",
        query={"experiment_id": "$ro"},
        keep={"default_schema": "label_schemas.0.schema_id"},
    ),
    _get_schema("list schemas of the other experiment again", "list", experiment_id="$ro"),
    Ask(
        "list schemas, first page",
        "GET",
        f"{_SCHEMAS}/list",
        query={"experiment_id": "$re", "max_results": 3},
        keep={"schemas_page": "next_page_token", "first_default": "label_schemas.0.schema_id"},
    ),
    _get_schema("list schemas, second page", "list", experiment_id="$re", max_results=3, page_token="$schemas_page"),
    _get_schema("list schemas, no page", "list", experiment_id="$re", max_results=0),
    _get_schema("list schemas, too large a page", "list", experiment_id="$re", max_results=50_001),
    _get_schema("list schemas, a word as page", "list", experiment_id="$re", max_results="x"),
    _get_schema("list schemas, a false token", "list", experiment_id="$re", page_token="x"),
    _get_schema("list schemas of no experiment", "list"),
    _get_schema("list schemas of an experiment not there", "list", experiment_id="987"),
    _get_schema("list schemas of a deleted experiment", "list", experiment_id="$rg"),
    _update_schema("by nothing"),
    _update_schema(
        "by all there is", name="q2", instruction="new", enable_comment=True, input={"text": {"max_length": 4}}
    ),
    _update_schema("to its own name", name="q2"),
    _update_schema("to a taken name", name="Which?"),
    _update_schema("to no name", name=""),
    _update_schema("to the reserved name", name="Feedback"),
    _update_schema("to another input", input={"numeric": {}}),
    _update_schema("to an empty input", input={}),
    _update_schema("to several choices", "$choice", input={"categorical": {"options": ["z"], "multi_select": True}}),
    _update_schema("to other options", "$choice", input={"categorical": {"options": ["z"]}}),
    _update_schema("to no instructions", instruction="", enable_comment=False),
    _update_schema("to another type", type="EXPECTATION"),
    _update_schema("that is the default", "$default_schema", name="x"),
    _update_schema("that is not there", "x"),
    _update_schema("without an id", ""),
    _delete_schema("that is the default", schema_id="$default_schema"),
    _delete_schema("that is not there", schema_id="x"),
    _delete_schema("without an id"),
]


def _queue(what: str, keep: str = "", **fields: Any) -> Ask:
    body = {"experiment_id": "$re", "queue_type": "CUSTOM"} | fields
    return Ask(
        f"create queue {what}", "POST", f"{_QUEUES}/create", body, keep={keep: "review_queue.queue_id"} if keep else {}
    )


def _user_queue(what: str, keep: str = "", **fields: Any) -> Ask:
    return Ask(
        f"queue of user {what}",
        "POST",
        f"{_QUEUES}/get-or-create-user",
        {"experiment_id": "$re"} | fields,
        keep={keep: "review_queue.queue_id"} if keep else {},
    )


def _get_queue(what: str, path: str, **query: Any) -> Ask:
    return Ask(what, "GET", f"{_QUEUES}/{path}", query=query)


def _update_queue(what: str, queue: str = "$queue", **fields: Any) -> Ask:
    return Ask(f"update queue {what}", "POST", f"{_QUEUES}/update", {"queue_id": queue} | fields)


def _items(what: str, path: str, queue: str = "$queue", **fields: Any) -> Ask:
    return Ask(what, "POST", f"{_QUEUES}/items/{path}", {"queue_id": queue} | fields)


def _status(what: str, item: str = TRACES["a"], queue: str = "$queue", **fields: Any) -> Ask:
    return _items(f"set status {what}", "set-status", queue, item_id=item, **fields)


QUEUES = [
    _queue("of what it needs", "queue", name="Triage"),
    _queue(
        "of all there is",
        "team",
        name="Team",
        users=["Bob", "ann ", "BOB"],
        schema_ids=["$text", "$text"],
        created_by="me",
    ),
    _queue("of a taken name", name=" triage "),
    _queue("of no name", name=""),
    _queue("of spaces as name", name="  "),
    _queue("of a name too long", name="n" * 251),
    _queue("of the reserved name", name="Default"),
    _queue("of no type", name="t", queue_type=None),
    _queue("of a type that is none", name="t", queue_type="PUBLIC"),
    _queue("with a user without a name", name="t", users=[" "]),
    _queue("with a user with a name too long", name="t", users=["u" * 251]),
    _queue("with too many users", name="t", users=[str(number) for number in range(11)]),
    _queue("with a schema without an id", name="t", schema_ids=[""]),
    _queue("with a schema with an id too long", name="t", schema_ids=["s" * 37]),
    _queue("with schemas from elsewhere", name="t", schema_ids=["none", "$text", "$elsewhere"]),
    _queue("of a user", "queue_0", name=" Cat ", queue_type="USER"),
    _queue("of a user that is named", "queue_1", name="dan", queue_type="USER", users=["Dan"]),
    _queue("of a user for another", name="eve", queue_type="USER", users=["fay"]),
    _queue("of a user with schemas", name="eve", queue_type="USER", schema_ids=["$text"]),
    _queue("of the default user", "queue_2", name="default", queue_type="USER"),
    _queue("in an experiment not there", name="t", experiment_id="987"),
    _queue("in a deleted experiment", name="t", experiment_id="$rg"),
    _user_queue("who has none", "eves", user="Eve "),
    _user_queue("who has one", user="eve", created_by="z"),
    _user_queue("named as a queue", user="TEAM"),
    _user_queue("without a name", user=" "),
    _user_queue("who is not given"),
    _user_queue("with a name too long", user="u" * 251),
    _user_queue("of a deleted experiment", user="eve", experiment_id="$rg"),
    _get_queue("get queue", "get", queue_id="$team"),
    _get_queue("get queue not there", "get", queue_id="x"),
    _get_queue("get queue without an id", "get"),
    _get_queue("get queue by name", "get-by-name", experiment_id="$re", name="TEAM"),
    _get_queue("get queue by a name not there", "get-by-name", experiment_id="$re", name=" team"),
    _get_queue("get queue by name of a deleted experiment", "get-by-name", experiment_id="$rg", name="team"),
    _get_queue("list queues", "list", experiment_id="$re"),
    _get_queue("list queues of a user", "list", experiment_id="$re", user=" ANN"),
    _get_queue("list queues of nobody", "list", experiment_id="$re", user=""),
    Ask(
        "list queues, first page",
        "GET",
        f"{_QUEUES}/list",
        query={"experiment_id": "$re", "max_results": 2},
        keep={"queues_page": "next_page_token"},
    ),
    _get_queue("list queues, second page", "list", experiment_id="$re", max_results=2, page_token="$queues_page"),
    _get_queue("list queues, no page", "list", experiment_id="$re", max_results=0),
    _get_queue("list queues, a false token", "list", experiment_id="$re", page_token="x"),
    _get_queue("list queues of a deleted experiment", "list", experiment_id="$rg"),
    _get_queue("list queues of no experiment", "list"),
    _update_queue("by nothing"),
    _update_queue("by name and owner", name=" New ", new_owner=" Me "),
    _update_queue("by the case of its name", name="NEW"),
    _update_queue("by a taken name", name="team"),
    _update_queue("by the reserved name", name="default"),
    _update_queue("by no name", name=""),
    _update_queue("by no owner", new_owner=""),
    _update_queue("by an owner too long", new_owner="o" * 251),
    _update_queue("by users without the flag", users=["x"]),
    _update_queue("by users", update_users=True, users=["z", "Y"]),
    _update_queue("by no users", update_users=True),
    _update_queue("by schemas", update_schema_ids=True, schema_ids=["$choice", "$text"]),
    _update_queue("by schemas not there", update_schema_ids=True, schema_ids=["x"]),
    _update_queue("of a user", "$eves", name="x"),
    _update_queue("of a user by nothing", "$eves"),
    _update_queue("not there", "x"),
    _items("add no items", "add"),
    _items("add an item without an id", "add", item_ids=[" "]),
    _items("add an item with an id too long", "add", item_ids=["x" * 51]),
    _items("add items to a queue not there", "add", "x", item_ids=[TRACES["a"]]),
    _items("add items from elsewhere", "add", item_ids=["none", TRACES["c"], TRACES["a"]]),
    _items("add an item", "add", item_ids=[f" {TRACES['b']}", TRACES["b"]]),
    _items("add items", "add", item_ids=[TRACES["b"], TRACES["a"]], item_type="TRACE"),
    _items("add an item of a type that is none", "add", item_ids=[TRACES["a"]], item_type="SPAN"),
    _update_queue("by schemas when it has items", update_schema_ids=True, schema_ids=["$text"]),
    _get_queue("list queues with an item", "list", experiment_id="$re", item_id=TRACES["a"]),
    _get_queue("list queues with an item that is in none", "list", experiment_id="$re", item_id=TRACES["c"]),
    _get_queue("list items", "items/list", queue_id="$queue"),
    _get_queue("list items of a queue not there", "items/list", queue_id="x"),
    Ask(
        "list items, first page",
        "GET",
        f"{_QUEUES}/items/list",
        query={"queue_id": "$queue", "status": "PENDING", "max_results": 1},
        keep={"items_page": "next_page_token"},
    ),
    _get_queue(
        "list items, second page",
        "items/list",
        queue_id="$queue",
        status="PENDING",
        max_results=1,
        page_token="$items_page",
    ),
    _get_queue("list items by a number as status", "items/list", queue_id="$queue", status=2),
    _get_queue("list items by a status that is none", "items/list", queue_id="$queue", status="LOST"),
    _get_queue("list items, no page", "items/list", queue_id="$queue", max_results=0),
    _get_queue("list items, a false token", "items/list", queue_id="$queue", page_token="x"),
    _status("to none"),
    _status("to one that is none", status="LOST"),
    _status("by nobody", status="COMPLETE"),
    _status("by spaces", status="COMPLETE", completed_by=" "),
    _status("by a name too long", status="COMPLETE", completed_by="u" * 251),
    _status("to complete", f"{TRACES['a']} ", status="COMPLETE", completed_by=" Ann "),
    _status("to complete again", status="COMPLETE", completed_by="bob"),
    _get_queue("list completed items", "items/list", queue_id="$queue", status="COMPLETE"),
    _status("to declined", status="DECLINED", completed_by="bob"),
    _status("to pending by someone", status="PENDING", completed_by="bob"),
    _status("to pending", status="PENDING"),
    _status("of an item not there", "none", status="PENDING"),
    _status("in a queue not there", queue="x", status="PENDING"),
    _items("remove no items", "remove"),
    _items("remove an item not there", "remove", item_ids=["none"]),
    _items("remove items from a queue not there", "remove", "x", item_ids=["a"]),
    _items("remove an item", "remove", item_ids=[TRACES["b"]]),
    Ask(
        "review: delete a trace",
        "POST",
        "/api/3.0/mlflow/traces/delete-traces",
        {"experiment_id": "$re", "request_ids": [TRACES["a"]]},
    ),
    _get_queue("list items after their trace was deleted", "items/list", queue_id="$queue"),
    Ask(
        "search issues after a trace was deleted",
        "POST",
        "/api/3.0/mlflow/issues/search",
        {"experiment_id": "$re", "include_trace_count": True},
    ),
    _delete_schema("of a queue", schema_id="$text"),
    _get_queue("get queue after its schema was deleted", "get", queue_id="$queue"),
    Ask("review: delete experiment", "POST", "experiments/delete", {"experiment_id": "$re"}),
    Ask("get issue of a deleted experiment", "GET", "/api/3.0/mlflow/issues/$full"),
    _get_schema("get schema of a deleted experiment", "get", schema_id="$choice"),
    _update_schema("of a deleted experiment", "$choice", name="still"),
    _get_queue("get queue of a deleted experiment", "get", queue_id="$queue"),
    _items("add an item in a deleted experiment", "add", item_ids=[TRACES["b"]]),
    _update_queue("of a deleted experiment", name="q7"),
    Ask("delete queue", "POST", f"{_QUEUES}/delete", {"queue_id": "$queue"}),
    Ask("delete queue again", "POST", f"{_QUEUES}/delete", {"queue_id": "$queue"}),
    Ask("delete queue without an id", "POST", f"{_QUEUES}/delete", {}),
    _get_queue("get deleted queue", "get", queue_id="$queue"),
]

# What Runnel takes otherwise, sent when nothing is listed any more.
REVIEW_OTHERWISE = [
    _schema(
        "with a range without end", name="endless", input={"numeric": {"max_value": "Infinity"}}, experiment_id="$ro"
    ),
]

REVIEW = [*SCHEMAS, *QUEUES, *REVIEW_OTHERWISE]
