"""What Runnel answers otherwise on purpose about traces, spans, assessments and figures about them."""

from tests.compat.field_policy import REFUSED, Deviation

TRACE_DEVIATIONS: list[Deviation] = [
    # Traces
    Deviation(
        "What is answered is what is stored; MLflow's answer lacks what the second request added.",
        ("trace.trace_info.tags.env",),
        ("start a trace twice",),
        200,
    ),
    Deviation(
        "Of long values 8,000 characters are shown, as many as are kept.",
        ("trace.trace_info.tags.long", "trace.trace_info.trace_metadata.long"),
        ("start a trace with long values",),
        200,
    ),
    Deviation(
        "What cannot be read is refused; MLflow takes it for absent, or for the beginning of time.",
        (*REFUSED, "trace.*"),
        ("start a trace at no time", "start a trace of a wrong duration", "start a trace of an unknown state"),
        400,
    ),
    Deviation(
        "A wrong request is never a 500, which clients repeat for minutes.",
        REFUSED,
        ("start a trace without an info", "start a trace v2 without an experiment", "end a trace v2 without a status"),
        400,
    ),
    Deviation(
        "Spans that are a file are no fault of the server's.",
        ("status", "error_code"),
        ("get trace without spans",),
        404,
    ),
    Deviation(
        "A trace whose spans are a file does not hide the others of the request.",
        REFUSED,
        ("batch of traces without spans",),
        200,
    ),
    Deviation(
        "A trace that is not there is the same error whatever is done to it.",
        REFUSED,
        ("set tag of a trace that is not there", "delete an assessment of a trace that is not there"),
        404,
    ),
    Deviation(
        "A trace that is not there is the same error whatever is done to it.",
        ("message",),
        ("delete tag of a trace that is not there",),
        404,
    ),
    Deviation(
        "What may be given is listed in a fixed order; MLflow prints a Python set or a view of a dictionary.",
        ("message",),
        (
            "search traces: an unknown attribute",
            "search traces: an unknown entity",
            "search traces: ordered by nonsense",
            "search traces: status above",
            "search traces: tag above",
            "trace metrics: filter: unknown view",
        ),
        400,
    ),
    Deviation(
        "A filter that cannot be read is answered with the place and what was expected there.",
        ("message",),
        (
            "search traces: nonsense",
            "search traces: or",
            "search traces: an unclosed quote",
            "search traces: status with a number",
            "search traces v2: nonsense",
            "trace correlation: nonsense",
            "trace correlation: nonsense in the base",
        ),
        400,
    ),
    Deviation(
        "A time is compared with a number; MLflow's SQLite finds nothing, its PostgreSQL fails.",
        REFUSED,
        ("search traces: time with text",),
        400,
    ),
    Deviation(
        "The limit is named.",
        ("message",),
        ("search traces: max_results too large", "search traces v2: max_results too large"),
        400,
    ),
    Deviation(
        "A page token is opaque and checked; the sentence does not speak of its encoding.",
        ("message",),
        ("search traces: a false page token",),
        400,
    ),
    # Spans
    Deviation(
        "An error is always JSON with an error_code.",
        ("status", "error_code", "message", "detail*"),
        ("export spans without an experiment",),
        400,
    ),
    Deviation(
        "An error is always JSON with an error_code.",
        ("error_code", "message", "detail"),
        ("export what is no protobuf", "export spans of an unknown type"),
        400,
    ),
    # Assessments
    Deviation(
        "A wrong request is never a 500, which clients repeat for minutes.",
        ("status", "content-type", "error_code", "message", "text"),
        ("create expectation that is no JSON",),
        400,
    ),
    Deviation(
        "The sentence says what an assessment can be.",
        ("message",),
        ("create an assessment of nothing",),
        400,
    ),
    Deviation(
        "The source that old clients name is kept; MLflow's protocol no longer knows it.",
        ("assessment.source.*",),
        ("create feedback by an old source",),
        200,
    ),
    Deviation(
        "An assessment has a name that can be searched and a source; MLflow keeps what nobody finds again.",
        (*REFUSED, "assessment.*"),
        (
            "create feedback by nobody",
            "create feedback of an unknown source",
            "create an assessment without a name",
            "create an assessment with a name too long",
        ),
        400,
    ),
    Deviation(
        "An assessment that its sender calls invalid (a copy of an overridden one) is; MLflow makes it valid.",
        ("assessment.valid",),
        ("create feedback that is not valid",),
        200,
    ),
    Deviation(
        "A field may be named in snake_case too; MLflow ignores it then.",
        ("assessment.assessment_name",),
        ("update the name",),
        200,
    ),
    Deviation(
        "An update that would not do what it says is refused; MLflow ignores such fields.",
        (*REFUSED, "assessment.*"),
        ("update both kinds", "update an unknown field", "update a field that stays"),
        400,
    ),
    # Figures
    Deviation(
        "A span that has not ended has no latency; MLflow takes its end for 1970.",
        ("data_points*",),
        ("trace metrics: span latency of what is open",),
        200,
    ),
    Deviation(
        "A trace that has no name of its own has that of its root span.",
        ("data_points[[]0].values.COUNT",),
        ("trace metrics: traces that have no name of their own",),
        200,
    ),
    Deviation(
        "A value of an enum that does not exist is refused; MLflow takes it for absent.",
        (*REFUSED, "data_points*"),
        ("trace metrics: unknown view", "trace metrics: unknown aggregation"),
        400,
    ),
    Deviation(
        "What is missing is named; MLflow shows an error of its SQL.",
        ("error_code", "message"),
        ("trace metrics: no aggregations",),
        400,
    ),
    Deviation(
        "A wrong request is never a 500, which clients repeat for minutes.",
        ("status", "content-type", "error_code", "message", "text"),
        (
            "trace metrics: percentile without a value",
            "trace metrics: percentile above 100",
            "trace metrics: percentile below 0",
            "trace metrics: average with a percentile",
        ),
        400,
    ),
    Deviation(
        "A wrong request is never a 500, which clients repeat for minutes.",
        REFUSED,
        ("trace metrics: interval beyond 64 bits",),
        400,
    ),
    Deviation(
        "An interval or a number of results below what makes sense is refused.",
        (*REFUSED, "data_points*"),
        ("trace metrics: interval below zero", "trace metrics: max_results below zero"),
        400,
    ),
    Deviation(
        "An interval or a number of results below what makes sense is refused.",
        REFUSED,
        ("trace metrics: max_results zero",),
        400,
    ),
    Deviation(
        "The wrong item of a list is named.",
        ("message",),
        ("trace metrics: experiment id that is a number",),
        400,
    ),
]
