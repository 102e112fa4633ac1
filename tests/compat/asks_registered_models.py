"""Requests about registered models, in the order in which they are sent."""

from typing import Any

from tests.compat.exchange import Ask

MODELS = "registered-models"
IS_PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}


def create(what: str, name: Any, **fields: Any) -> Ask:
    return Ask(what, "POST", f"{MODELS}/create", {"name": name, **fields})


def search(what: str, **query: Any) -> Ask:
    return Ask(f"search registered models: {what}", "GET", f"{MODELS}/search", query=query)


REGISTERED_MODELS = [
    create("register model", "judge", description="it judges", tags=[{"key": "team", "value": "red"}, {"key": "e"}]),
    create("register another model", "Answerer", tags=[{"key": "team", "value": "blue"}]),
    create("register a third model", "zebra", tags=[{"key": "team", "value": "red"}]),
    create("register model of a taken name", "judge"),
    create("register prompt of a model's name", "judge", tags=[IS_PROMPT]),
    create("register model without a name", " "),
    create("register model with a slash", "a/b"),
    create("register model named like a folder", ".."),
    create("register model with an odd tag", "odd", tags=[{"key": "a!", "value": "b"}]),
    create("register model with a long tag", "long", tags=[{"key": "a", "value": "b" * 100_001}]),
    Ask("register model without anything", "POST", f"{MODELS}/create", {}),
    Ask("get registered model", "GET", f"{MODELS}/get", query={"name": "judge"}),
    Ask("get registered model not there", "GET", f"{MODELS}/get", query={"name": "nobody"}),
    Ask("get registered model without a name", "GET", f"{MODELS}/get"),
    Ask("update registered model", "PATCH", f"{MODELS}/update", {"name": "judge", "description": "it judges well"}),
    Ask("update registered model to nothing", "PATCH", f"{MODELS}/update", {"name": "zebra"}),
    Ask("update registered model not there", "PATCH", f"{MODELS}/update", {"name": "nobody", "description": "d"}),
    Ask("set tag of registered model", "POST", f"{MODELS}/set-tag", {"name": "judge", "key": "k", "value": "v"}),
    Ask("set empty tag of registered model", "POST", f"{MODELS}/set-tag", {"name": "judge", "key": "k2"}),
    Ask("set tag of registered model without a key", "POST", f"{MODELS}/set-tag", {"name": "judge", "value": "v"}),
    Ask("set tag of registered model not there", "POST", f"{MODELS}/set-tag", {"name": "x", "key": "k", "value": "v"}),
    Ask("delete tag of registered model", "DELETE", f"{MODELS}/delete-tag", {"name": "judge", "key": "k2"}),
    Ask("delete tag of registered model again", "DELETE", f"{MODELS}/delete-tag", {"name": "judge", "key": "k2"}),
    Ask("get registered model after tags", "GET", f"{MODELS}/get", query={"name": "judge"}),
    search("all"),
    search("by name", filter="name = 'judge'"),
    search("by other name", filter="name != 'judge'"),
    search("by pattern", filter="name LIKE 'ju%'"),
    search("by pattern in any case", filter="name ILIKE 'ANS%'"),
    search("by names", filter="name IN ('judge', 'zebra')"),
    search("not by names", filter="name NOT IN ('judge', 'zebra')"),
    search("by tag", filter="tags.team = 'red'"),
    search("by other tag", filter="tag.team != 'red'"),
    search("by two tags", filter="tags.team = 'red' AND tags.k = 'v'"),
    search("by tag and name", filter="tags.team = 'red' AND name LIKE 'z%'"),
    search("by tag pattern", filter="tags.team ILIKE 'BL%'"),
    search("ordered by name", order_by=["name DESC"]),
    search("ordered by time", order_by=["last_updated_timestamp DESC"]),
    search("ordered by timestamp", order_by=["timestamp ASC", "name DESC"]),
    search("ordered by creation", order_by=["creation_timestamp"]),
    search("ordered twice", order_by=["name", "name"]),
    search("ordered by nonsense", order_by=["colour"]),
    search("by description", filter="description = 'x'"),
    search("by greater name", filter="name > 'x'"),
    search("by number", filter="name = 1"),
    search("by tag in", filter="tags.team IN ('red')"),
    search("by number in tag", filter="tags.team = 1"),
    search("by absence", filter="tags.team IS NULL"),
    search("by entity not there", filter="params.x = 'y'"),
    search("or", filter="name = 'a' OR name = 'b'"),
    search("too many", max_results=1001),
    search("none", max_results=0),
    search("false token", page_token="x"),
    Ask(
        "search registered models: first page",
        "GET",
        f"{MODELS}/search",
        query={"max_results": 2},
        keep={"registered_page": "next_page_token"},
    ),
    search("second page", max_results=2, page_token="$registered_page"),
    Ask("rename registered model", "POST", f"{MODELS}/rename", {"name": "zebra", "new_name": "horse"}),
    Ask("rename to a taken model", "POST", f"{MODELS}/rename", {"name": "horse", "new_name": "judge"}),
    Ask("rename registered model to nothing", "POST", f"{MODELS}/rename", {"name": "horse"}),
    Ask("rename to blanks", "POST", f"{MODELS}/rename", {"name": "horse", "new_name": " "}),
    Ask("rename model not there", "POST", f"{MODELS}/rename", {"name": "nobody", "new_name": "somebody"}),
    Ask("get renamed model", "GET", f"{MODELS}/get", query={"name": "horse"}),
    Ask("get model of the old name", "GET", f"{MODELS}/get", query={"name": "zebra"}),
    Ask("delete registered model", "DELETE", f"{MODELS}/delete", {"name": "horse"}),
    Ask("delete registered model again", "DELETE", f"{MODELS}/delete", {"name": "horse"}),
    search("after a delete"),
]
