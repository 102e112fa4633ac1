"""Requests about the model registry that Runnel answers otherwise than MLflow's server, on purpose."""

from tests.compat.field_policy import Deviation

NEVER_500 = "A wrong request is never a 500, which clients repeat for minutes."

REGISTRY_DEVIATIONS: list[Deviation] = [
    Deviation(
        "What may be given is listed in a fixed order; MLflow prints a Python set.",
        ("message",),
        (
            "search registered models: ordered by creation",
            "search registered models: ordered by nonsense",
            "search registered models: by description",
            "search registered models: by entity not there",
            "search versions: by stage",
            "search versions: ordered by nonsense",
        ),
        400,
    ),
    Deviation(
        "A comparator that does not fit is answered with those that do.",
        ("message",),
        ("search registered models: by greater name", "search registered models: by tag in"),
        400,
    ),
    Deviation(
        "A filter that cannot be read is answered with the place and what was expected there.",
        ("message",),
        ("search registered models: by number", "search registered models: or"),
        400,
    ),
    Deviation(
        NEVER_500,
        ("status", "error_code"),
        (
            "search registered models: ordered twice",
            "create version of a file of another host",
            "stage: archive for none",
        ),
        400,
    ),
    Deviation(
        NEVER_500,
        ("status", "content-type", "error_code", "message", "text"),
        ("search registered models: by absence",),
        400,
    ),
    Deviation(
        NEVER_500,
        ("status", "error_code"),
        ("create version that is a copy of a stage without any",),
        404,
    ),
    Deviation(
        NEVER_500,
        ("status", "error_code", "message"),
        ("create version of a logged model that is not there", "artifact of version without a file"),
        404,
    ),
    Deviation(
        "The limit is named.",
        ("message",),
        ("search registered models: too many", "search versions: too many", "search versions: none"),
        400,
    ),
    Deviation(
        "A page of no models is refused, as elsewhere; MLflow answers a token that leads to the same page.",
        ("status", "error_code", "message", "next_page_token"),
        ("search registered models: none",),
        400,
    ),
    Deviation(
        "A page token is opaque and checked; the sentence does not speak of its encoding.",
        ("message",),
        ("search registered models: false token",),
        400,
    ),
    Deviation(
        "The sentence ends before the SQL of the server's database.", ("message",), ("rename to a taken model",), 400
    ),
    Deviation("The source is quoted as it was sent.", ("message",), ("create version of a file URI and a model",), 400),
    Deviation(
        "A copy of a version is of the same logged model, which lists it; MLflow's server forgets the model.",
        ("model.info.tags[[]0].value",),
        ("logged model with versions",),
        200,
    ),
]
