"""Requests about versions of registered models, in the order in which they are sent."""

from typing import Any

from tests.compat.exchange import Ask

MODELS, VERSIONS = "registered-models", "model-versions"
FIRST = {"name": "versioned", "version": "1"}


def create(what: str, source: str, name: str = "versioned", **fields: Any) -> Ask:
    return Ask(f"create version {what}", "POST", f"{VERSIONS}/create", {"name": name, "source": source, **fields})


def search(what: str, **query: Any) -> Ask:
    return Ask(f"search versions: {what}", "GET", f"{VERSIONS}/search", query=query)


def get(what: str, version: str = "1") -> Ask:
    return Ask(what, "GET", f"{VERSIONS}/get", query={"name": "versioned", "version": version})


def move(what: str, version: str, stage: str, archive: bool | None = None) -> Ask:
    body: dict[str, Any] = {"name": "versioned", "version": version, "stage": stage}
    if archive is not None:
        body["archive_existing_versions"] = archive
    return Ask(what, "POST", f"{VERSIONS}/transition-stage", body)


def by_alias(what: str, alias: str, name: str = "versioned") -> Ask:
    return Ask(what, "GET", f"{MODELS}/alias", query={"name": name, "alias": alias})


def set_alias(what: str, alias: str, version: str) -> Ask:
    return Ask(what, "POST", f"{MODELS}/alias", {"name": "versioned", "alias": alias, "version": version})


SOURCES = [
    Ask("register versioned model", "POST", f"{MODELS}/create", {"name": "versioned"}),
    Ask("register model to copy to", "POST", f"{MODELS}/create", {"name": "copies"}),
    Ask(
        "create run of versions",
        "POST",
        "runs/create",
        {"experiment_id": "0", "run_name": "v"},
        keep={"vrun": "run.info.run_id"},
    ),
    Ask(
        "create logged model of versions",
        "POST",
        "logged-models",
        {"experiment_id": "0", "name": "v", "source_run_id": "$vrun", "params": [{"key": "p", "value": "1"}]},
        keep={"vmodel": "model.info.model_id"},
    ),
    create("of a run", "runs:/$vrun/model", run_id="$vrun", description="first", run_link="http://x/y"),
    create("elsewhere", "s3://bucket/model", tags=[{"key": "k", "value": "v"}, {"key": "k", "value": "w"}]),
    create("of a place in a run", "mlflow-artifacts:/0/$vrun/artifacts/model", run_id="$vrun"),
    create("of a logged model", "models:/$vmodel", model_id="$vmodel"),
    create("of a place in a logged model", "mlflow-artifacts:/0/models/$vmodel/artifacts", model_id="$vmodel"),
    create("that is a copy", "models:/versioned/1", "copies"),
    create("that is a copy of the latest", "models:/versioned/latest", "copies"),
    create("that is a copy of a model's", "models:/versioned/4", "copies"),
    create("that is a copy of none", "models:/versioned/99", "copies"),
    create("that is a copy of a stage without any", "models:/versioned/Staging", "copies"),
    create("of another run", "models:/versioned/1", "copies", run_id="x"),
    create("of no run", "runs:/$vrun/model"),
    create("of a run that is not named", "runs:/other/model", run_id="$vrun"),
    create("of a logged model that is not named", "models:/$vmodel"),
    create("of a logged model that is not there", "models:/m-0", model_id="m-0"),
    create("of a logged model not there, elsewhere", "s3://b/x", model_id="m-0"),
    create("of a wrong models URI", "models:/a/b/c"),
    create("of a run's place without its id", "mlflow-artifacts:/0/$vrun/artifacts/model"),
    create("of a place outside of its run", "mlflow-artifacts:/0/other/artifacts", run_id="$vrun"),
    create("of a local path", "/etc/passwd"),
    create("of a local path and a run", "/etc/passwd", run_id="$vrun"),
    create("of a file URI", "file:///etc/passwd"),
    create("of a file URI and a model", "file:///etc/passwd", model_id="$vmodel"),
    create("of a file of another host", "file://other/etc/passwd"),
    create("that leads up", "s3://bucket/../x"),
    create("that leads up in code", "s3://bucket/%252e%252e/x"),
    create("of another host", "http://evil.example/x"),
    create("of another server", "mlflow-artifacts://evil.example/x"),
    create("of a relative URI", "foo:bar"),
    create("of a bucket alone", "s3://bucket"),
    create("of dbfs", "dbfs:/models/x"),
    create("of a model not there", "s3://bucket/x", "nobody"),
    create("with a wrong tag", "s3://bucket/x", tags=[{"key": "a!", "value": "v"}]),
    Ask("create version without a source", "POST", f"{VERSIONS}/create", {"name": "versioned"}),
    Ask("logged model with versions", "GET", "logged-models/$vmodel"),
]

VERSIONS_ASKS = [
    *SOURCES,
    get("get version"),
    get("get version of a logged model", "4"),
    get("get version not there", "99"),
    get("get version that is no number", "x"),
    Ask("get version of a model not there", "GET", f"{VERSIONS}/get", query={"name": "nobody", "version": "1"}),
    Ask("get registered model with versions", "GET", f"{MODELS}/get", query={"name": "versioned"}),
    Ask("download URI", "GET", f"{VERSIONS}/get-download-uri", query=FIRST),
    Ask("download URI of a logged model", "GET", f"{VERSIONS}/get-download-uri", query={**FIRST, "version": "4"}),
    Ask("download URI of a copy", "GET", f"{VERSIONS}/get-download-uri", query={"name": "copies", "version": "1"}),
    Ask("update version", "PATCH", f"{VERSIONS}/update", {**FIRST, "description": "better"}),
    Ask("update version to nothing", "PATCH", f"{VERSIONS}/update", {**FIRST, "version": "2"}),
    Ask("set tag of version", "POST", f"{VERSIONS}/set-tag", {**FIRST, "key": "a", "value": "b"}),
    Ask("set tag of version that is too long", "POST", f"{VERSIONS}/set-tag", {**FIRST, "key": "a" * 251}),
    Ask("delete tag of version", "DELETE", f"{VERSIONS}/delete-tag", {**FIRST, "key": "none"}),
    move("stage: production", "1", "production"),
    move("stage: production, the others archived", "2", "Production", True),
    move("stage: staging", "3", "Staging", False),
    move("stage: archive for none", "3", "None", True),
    move("stage: unknown", "3", "Prod"),
    move("stage: of no version", "99", "Staging"),
    get("get archived version"),
    Ask("latest versions", "POST", f"{MODELS}/get-latest-versions", {"name": "versioned"}),
    Ask(
        "latest versions of stages",
        "GET",
        f"{MODELS}/get-latest-versions",
        query={"name": "versioned", "stages": ["Production", "none"]},
    ),
    Ask(
        "latest versions of a stage not there",
        "POST",
        f"{MODELS}/get-latest-versions",
        {"name": "versioned", "stages": ["x"]},
    ),
    create("that is a copy of a stage", "models:/versioned/Production", "copies"),
    set_alias("set alias", "best", "2"),
    set_alias("set alias of no version", "best", "99"),
    set_alias("set alias latest", "Latest", "1"),
    set_alias("set alias like a version", "v1", "1"),
    set_alias("set alias with blanks", "a b", "1"),
    set_alias("set alias that is too long", "a" * 256, "1"),
    by_alias("get by alias", "best"),
    by_alias("get by alias latest", "latest"),
    by_alias("get by alias not there", "none"),
    by_alias("get by alias of a model not there", "best", "nobody"),
    create("that is a copy of an alias", "models:/versioned@best", "copies"),
    Ask("delete alias not there", "DELETE", f"{MODELS}/alias", {"name": "versioned", "alias": "none"}),
    Ask("get registered model with aliases", "GET", f"{MODELS}/get", query={"name": "versioned"}),
    search("of name", filter="name = 'versioned'"),
    search("of name by number", filter="name = 'versioned'", order_by=["version_number ASC"]),
    search("of names", filter="name IN ('versioned', 'copies')", order_by=["name", "version_number DESC"]),
    search("by run", filter="run_id = '$vrun'", order_by=["name", "version_number"]),
    search("by runs", filter="run_id IN ('$vrun', 'x')", order_by=["name", "version_number"]),
    search("by source", filter="source_path = 's3://bucket/model'"),
    search("by source pattern", filter="source_path LIKE 's3://%'"),
    search("by tag", filter="tags.k = 'w'"),
    search("by number", filter="name = 'versioned' AND version_number > 2", order_by=["version_number"]),
    search("by quoted number", filter="name = 'versioned' AND version_number = '2'"),
    search("by fraction", filter="version_number = 1.5"),
    search("by list of numbers", filter="version_number IN (1, 2)"),
    search("by list of sources", filter="source_path IN ('x')"),
    search("by stage", filter="current_stage = 'None'"),
    search("ordered by creation", filter="name = 'versioned'", order_by=["creation_timestamp DESC"]),
    search("ordered by nonsense", order_by=["colour"]),
    search("none", max_results=0),
    search("too many", max_results=200_001),
    Ask(
        "search versions: first page",
        "GET",
        f"{VERSIONS}/search",
        query={"filter": "name = 'versioned'", "order_by": ["version_number"], "max_results": 2},
        keep={"versions_page": "next_page_token"},
    ),
    search(
        "second page",
        filter="name = 'versioned'",
        order_by=["version_number"],
        max_results=2,
        page_token="$versions_page",
    ),
    Ask("rename model with versions", "POST", f"{MODELS}/rename", {"name": "copies", "new_name": "duplicates"}),
    Ask("delete version", "DELETE", f"{VERSIONS}/delete", {"name": "versioned", "version": "2"}),
    Ask("delete version again", "DELETE", f"{VERSIONS}/delete", {"name": "versioned", "version": "2"}),
    Ask("get registered model after a delete", "GET", f"{MODELS}/get", query={"name": "versioned"}),
    create("after a delete", "s3://bucket/last"),
    Ask("artifact of version without a file", "GET", "/model-versions/get-artifact", query={**FIRST, "path": "none"}),
    Ask("artifact of version outside", "GET", "/model-versions/get-artifact", query={**FIRST, "path": "../x"}),
]
