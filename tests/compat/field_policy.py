"""How Runnel's answers are compared with those of a real `mlflow server`, as data.

Every field must match, but for the rules below (a pattern of the field's path, a rule, the reason), and for the
deviations that are meant: those are listed one by one, and a listed deviation that is none any more is an error.
"""

from dataclasses import dataclass
from enum import Enum


class Rule(Enum):
    MUST_MATCH = "must match"
    SAME_TYPE = "same type"
    IGNORED = "ignored"


# The first pattern that matches a field's path decides. `*` matches anything, dots and indices too.
FIELDS: list[tuple[str, Rule, str]] = [
    ("*creation_time", Rule.SAME_TYPE, "the server's clock"),
    ("*last_update_time", Rule.SAME_TYPE, "the server's clock"),
    ("*created_timestamp", Rule.SAME_TYPE, "the server's clock"),
    ("*last_updated_timestamp", Rule.SAME_TYPE, "the server's clock"),
    ("*created_at", Rule.SAME_TYPE, "the server's clock"),
    ("*last_updated_at", Rule.SAME_TYPE, "the server's clock"),
    ("*_time_ms", Rule.SAME_TYPE, "the server's clock"),
    ("*.create_time", Rule.SAME_TYPE, "the server's clock"),
    ("*.last_update_time", Rule.SAME_TYPE, "the server's clock"),
    ("*assessment*.create_time", Rule.SAME_TYPE, "the server's clock"),
    ("*creation_timestamp", Rule.SAME_TYPE, "the server's clock"),
    ("webhooks*.webhook_id", Rule.SAME_TYPE, "made by chance"),
    ("webhook.webhook_id", Rule.SAME_TYPE, "made by chance"),
    ("*_timestamp_ms", Rule.SAME_TYPE, "the server's clock"),
    ("*next_page_token", Rule.SAME_TYPE, "opaque; what it leads to is compared"),
    ("features_enabled.*", Rule.SAME_TYPE, "clients are told what this server can do, and ask for no more"),
    ("presigned_upload_*", Rule.SAME_TYPE, "clients are told what this server can do, and ask for no more"),
    ("*.workspace", Rule.IGNORED, "Runnel has no workspaces; clients take an absent one for the default"),
    ("*model_version*.model_id", Rule.IGNORED, "Runnel tells of which logged model a version is; MLflow forgets it"),
    ("*model_version*.model_params*", Rule.IGNORED, "those of that logged model"),
    ("sqlstate", Rule.IGNORED, "clients derive it from error_code when it is absent"),
    ("error_class", Rule.IGNORED, "clients derive it from error_code when it is absent"),
]

# Lists whose order says nothing (MLflow's is that of the database's rows).
ANY_ORDER = (
    "experiment.tags",
    "experiments[[]*].tags",
    "registered_model.tags",
    "registered_model.latest_versions",
    "registered_model*.latest_versions[[]*].tags",
    "registered_models[[]*].tags",
    "registered_models[[]*].latest_versions",
    "model_version.tags",
    "model_versions[[]*].tags",
    "*.data.metrics",
    "*.data.params",
    "*.data.tags",
    "*.info.tags",
    "*.dataset_inputs",
    "dataset_summaries",
    "trace_info.tags",
    "trace_info.request_metadata",
    "traces[[]*].tags",
    "traces[[]*].request_metadata",
    "*.schema_ids",  # by ids that are made up
)


@dataclass(frozen=True)
class Deviation:
    """Requests that Runnel answers otherwise on purpose: in which fields, and why."""

    reason: str
    fields: tuple[str, ...]  # patterns; each must be among what differs
    asks: tuple[str, ...]
    status: int  # Runnel's


REFUSED = ("status", "error_code", "message")

DEVIATIONS: list[Deviation] = [
    Deviation(
        "An error is always JSON with an error_code; MLflow's web framework answers a page of HTML.",
        ("content-type", "error_code", "message", "text"),
        ("a path that is not there",),
        404,
    ),
    Deviation(
        "An error is always JSON with an error_code; MLflow's web framework answers a page of HTML.",
        ("content-type", "error_code", "message", "text"),
        ("a method that is not allowed",),
        405,
    ),
    Deviation(
        "An error is always JSON with an error_code; MLflow's web framework answers a page of HTML.",
        ("content-type", "error_code", "message", "text"),
        ("get artifact without a path",),
        400,
    ),
    Deviation("A version is plain text, not HTML.", ("content-type",), ("version",), 200),
    Deviation(
        "A body that cannot be read is said to be just that.",
        ("error_code", "message"),
        ("a body that is not JSON",),
        400,
    ),
    Deviation(
        "A wrong request is never a 500, which clients repeat for minutes.",
        ("status", "content-type", "text", "error_code", "message"),
        ("a body that is a list",),
        400,
    ),
    Deviation(
        "A wrong request is never a 500, which clients repeat for minutes.",
        ("status",),
        ("rename deleted experiment",),
        400,
    ),
    Deviation(
        "The sentence ends before the SQL of the server's database.",
        ("message",),
        ("create experiment of a taken name", "create experiment of a deleted name"),
        400,
    ),
    Deviation(
        "A taken name has the same error whether an experiment is created or renamed; MLflow shows its SQL.",
        ("error_code", "message"),
        ("rename to a taken name",),
        400,
    ),
    Deviation(
        "A run without an experiment goes to the default one, as in MLflow's file store; its SQL store trips over it.",
        ("status", "error_code", "message", "run.*"),
        ("create run without an experiment",),
        200,
    ),
    Deviation(
        "A name that the server makes up.",
        ("run.info.run_name", "run.data.tags[[]*].value"),
        ("create run without a name",),
        200,
    ),
    Deviation(
        "A value of an enum that does not exist is refused; MLflow takes it for absent.",
        (*REFUSED, "*"),
        (
            "search experiments of a wrong view",
            "update run to a status that is none",
            "search: unknown view",
            "add an item of a type that is none",
            "list items by a status that is none",
        ),
        400,
    ),
    Deviation(
        "A value of an enum that does not exist is named; MLflow takes it for absent, and asks for one.",
        ("message",),
        (
            "create schema of type 0",
            "create schema of a type that is none",
            "create queue of a type that is none",
            "set status to one that is none",
        ),
        400,
    ),
    Deviation(
        "A wrong status or severity is never a 500, which clients repeat for minutes.",
        ("status", "content-type", "text", "error_code", "message"),
        (
            "create issue of a status that is none",
            "create issue of a severity that is none",
            "update issue by a status that is none",
        ),
        400,
    ),
    Deviation(
        "A run that is not there is said to be just that; MLflow shows its SQL.",
        REFUSED,
        ("create issue of a run not there",),
        404,
    ),
    Deviation(
        "An issue's name has the limit that MLflow declares for it, which SQLite does not enforce.",
        (*REFUSED, "issue.*"),
        ("create issue with a name too long", "update issue by a name too long"),
        400,
    ),
    Deviation(
        "The id of an issue in the path is enough.",
        (*REFUSED, "issue.*"),
        ("update issue without its id in the body",),
        200,
    ),
    Deviation(
        "A word in a filter needs quotes, as everywhere else.",
        (*REFUSED, "issues*", "next_page_token"),
        ("search issues by a word without quotes",),
        400,
    ),
    Deviation(
        "An input that is not one of the four kinds is named.",
        ("message",),
        ("create schema with two inputs", "create schema with text as input"),
        400,
    ),
    Deviation(
        "A bound of a number is a number; without one there is no bound.",
        (*REFUSED, "label_schema.*"),
        ("create schema with a range without end",),
        400,
    ),
    Deviation(
        "A field of a wrong type is refused; MLflow reads the text as a list of letters without a name.",
        (*REFUSED, "*"),
        ("create run with tags that are none",),
        400,
    ),
    Deviation(
        "A tag's value is cut at its limit when a run is created, too.",
        ("run.data.tags[[]*].value",),
        ("create run with a tag value too long",),
        200,
    ),
    Deviation(
        "A dataset without a name is refused; MLflow keeps it, and lists it as an input.",
        ("run.inputs.dataset_inputs[[]0].dataset.*",),
        ("run after what is odd",),
        200,
    ),
    Deviation(
        "A dataset without a name is refused; MLflow keeps one without a name.",
        REFUSED,
        ("log inputs without a dataset's name",),
        400,
    ),
    Deviation(
        "What may be given is listed in a fixed order; MLflow prints a Python set.",
        ("message",),
        (
            "log model that lacks its flavors",
            "search experiments by a metric",
            "search experiments by a wrong order",
            "search: order by an unknown attribute",
            "search: order by nonsense",
            "search: param above",
            "search: tag in",
            "search: unknown attribute",
            "search: unknown entity",
            "search issues by severity",
            "search issues by pattern",
            "search issues by list",
        ),
        400,
    ),
    Deviation(
        "A filter that cannot be read is answered with the place and what was expected there.",
        ("message",),
        (
            "search experiments by nonsense",
            "search experiments by OR",
            "search: or",
            "search: parentheses",
            "search: sql injection",
            "search: syntax error",
            "search: unclosed quote",
            "search models: nonsense",
            "search issues by or",
            "search issues by nonsense",
        ),
        400,
    ),
    Deviation("The limit is named.", ("message",), ("search: max_results too large",), 400),
    Deviation(
        "A page token is opaque and checked; the sentence does not speak of its encoding.",
        ("message",),
        (
            "search experiments by a false token",
            "search: a false page token",
            "search issues by a false token",
            "list schemas, a false token",
            "list queues, a false token",
            "list items, a false token",
        ),
        400,
    ),
    Deviation(
        "A param of a model that changes is the error that it is for a run; MLflow shows its SQL.",
        ("error_code", "message"),
        ("log param of model with another value",),
        400,
    ),
    Deviation(
        "A model is found by its status; MLflow compares the word with the number it stores, and finds none.",
        ("models[[]0].*",),
        ("search models: by status",),
        200,
    ),
    Deviation(
        "A dataset may be named without its digest, as MLflow documents; its server then finds none.",
        ("models[[]0].*",),
        ("search models: by metric on a dataset",),
        200,
    ),
    Deviation(
        "JSON that the server writes into a tag has no spaces.",
        ("run.data.tags[[]1].value",),
        ("run after all was logged",),
        200,
    ),
    Deviation(
        "An empty file has the size 0; MLflow leaves the field out.",
        ("files[[]*].file_size",),
        ("list a served folder", "list a folder of a run"),
        200,
    ),
]
