"""Requests about the assessments of a trace, in the order in which they are sent."""

from typing import Any

from tests.compat.asks_traces import TRACES
from tests.compat.exchange import Ask

TRACE = f"tr-f4{1:030x}"
PATH = f"{TRACES}/{TRACE}/assessments"
SOURCE = {"source_type": "HUMAN", "source_id": "eve"}


def _assessment(name: str, **fields: Any) -> dict[str, Any]:
    return {"assessment_name": name, "trace_id": TRACE, "source": SOURCE, **fields}


def _create(what: str, name: str, keep: str | None = None, **fields: Any) -> Ask:
    body = {"assessment": _assessment(name, **fields)}
    return Ask(what, "POST", PATH, body, keep={keep: "assessment.assessment_id"} if keep else {})


def _update(what: str, kept: str, mask: str, **fields: Any) -> Ask:
    assessment = {"assessment_id": f"${kept}", "trace_id": TRACE, **fields}
    return Ask(what, "PATCH", f"{PATH}/${kept}", {"assessment": assessment, "update_mask": mask})


def _get(what: str, kept: str) -> Ask:
    return Ask(what, "GET", f"{PATH}/${kept}", query={"trace_id": TRACE, "assessment_id": f"${kept}"})


ASSESSMENTS = [
    Ask(
        "create experiment of assessments",
        "POST",
        "experiments/create",
        {"name": "as"},
        keep={"assessed": "experiment_id"},
    ),
    Ask(
        "start a trace to assess",
        "POST",
        TRACES,
        {
            "trace": {
                "trace_info": {
                    "trace_id": TRACE,
                    "trace_location": {
                        "type": "MLFLOW_EXPERIMENT",
                        "mlflow_experiment": {"experiment_id": "$assessed"},
                    },
                    "request_time": "2023-11-14T22:13:20Z",
                    "state": "OK",
                }
            }
        },
    ),
    _create(
        "create feedback with everything",
        "everything",
        "fb_all",
        feedback={"value": "good"},
        rationale="it is",
        span_id="abc",
        metadata={"mlflow.assessment.sourceRunId": "run", "k": "v"},
        source={"source_type": "LLM_JUDGE", "source_id": "judge"},
    ),
    _create("create feedback of a truth", "truth", "fb_truth", feedback={"value": True}),
    _create("create feedback of a number", "number", "fb_number", feedback={"value": 4}),
    _create("create feedback of a list", "list", "fb_list", feedback={"value": [1, "a", None]}),
    _create("create feedback of an object", "object", "fb_object", feedback={"value": {"b": 1, "a": {"x": [2.5]}}}),
    _create("create feedback of nothing", "null", "fb_null", feedback={"value": None}),
    _create(
        "create feedback of an error",
        "error",
        "fb_error",
        feedback={"error": {"error_code": "E1", "error_message": "m", "stack_trace": "at"}},
    ),
    _create(
        "create feedback with a value and an error",
        "both",
        "fb_both",
        feedback={"value": 1.5, "error": {"error_code": "E1"}},
    ),
    _create("create expectation", "expected", "ex", expectation={"value": "yes"}),
    _create("create expectation of a number", "expected number", "ex_number", expectation={"value": 42}),
    _create(
        "create expectation of a list",
        "expected list",
        "ex_list",
        expectation={"serialized_value": {"serialization_format": "JSON_FORMAT", "value": '["a", 1]'}},
    ),
    _create(
        "create expectation that is no JSON",
        "expected nonsense",
        expectation={"serialized_value": {"serialization_format": "JSON_FORMAT", "value": "{"}},
    ),
    _create(
        "create feedback at a time",
        "timed",
        "fb_timed",
        feedback={"value": "x"},
        create_time="2023-11-14T22:13:20.123Z",
        last_update_time="2023-11-14T22:13:21Z",
    ),
    _create("create feedback that overrides", "truth", "fb_over", feedback={"value": False}, overrides="$fb_truth"),
    _create("create a reference to an issue that is not there", "iss-none", "referred", issue={"issue_name": "crash"}),
    _get("get what was overridden", "fb_truth"),
    _get("get what overrides", "fb_over"),
    _create("create feedback that overrides what is not there", "x", feedback={"value": 1}, overrides="a-none"),
    _create("create an assessment of nothing", "empty"),
    Ask("create no assessment", "POST", PATH, {}),
    Ask(
        "create an assessment of a trace that is not there",
        "POST",
        f"{TRACES}/tr-none/assessments",
        {"assessment": _assessment("x", feedback={"value": 1}) | {"trace_id": "tr-none"}},
    ),
    *[
        _get(f"get {kept}", kept)
        for kept in ("fb_all", "fb_number", "fb_object", "fb_error", "fb_both", "ex", "ex_list")
    ],
    Ask(
        "get an assessment that is not there",
        "GET",
        f"{PATH}/a-none",
        query={"trace_id": TRACE, "assessment_id": "a-none"},
    ),
    _update("update the value of feedback", "fb_number", "feedback", feedback={"value": 5}),
    _update("update the name in camel case", "fb_list", "assessmentName", assessment_name="renamed list"),
    _update("update the rationale", "fb_all", "rationale", rationale="no, it is not"),
    _update("update the metadata", "fb_all", "metadata", metadata={"k": "w", "l": "m"}),
    _update("update two fields", "fb_object", "feedback,rationale", feedback={"value": "plain"}, rationale="why"),
    _update("update feedback to an error", "fb_null", "feedback", feedback={"error": {"error_code": "E2"}}),
    _update("update expectation", "ex", "expectation", expectation={"value": "no"}),
    _update("update feedback as an expectation", "fb_all", "expectation", expectation={"value": "no"}),
    _update("update expectation as feedback", "ex", "feedback", feedback={"value": "no"}),
    _update("update nothing", "fb_all", ""),
    Ask(
        "update an assessment that is not there",
        "PATCH",
        f"{PATH}/a-none",
        {"assessment": {"assessment_id": "a-none", "trace_id": TRACE, "rationale": "x"}, "update_mask": "rationale"},
    ),
    *[_get(f"get updated {kept}", kept) for kept in ("fb_all", "fb_number", "fb_list", "fb_object", "fb_null", "ex")],
    Ask("get the trace with its assessments", "GET", f"{TRACES}/{TRACE}"),
    Ask("delete an assessment that overrides", "DELETE", f"{PATH}/$fb_over", {}),
    _get("get what is not overridden any more", "fb_truth"),
    Ask("delete an assessment", "DELETE", f"{PATH}/$ex", {}),
    Ask("delete an assessment again", "DELETE", f"{PATH}/$ex", {}),
    _get("get a deleted assessment", "ex"),
    Ask("delete an assessment of a trace that is not there", "DELETE", f"{TRACES}/tr-none/assessments/a-none", {}),
    # What MLflow takes otherwise
    _create("create feedback that is not valid", "invalid", "fb_invalid", feedback={"value": 1}, valid=False),
    _create(
        "create feedback by an old source", "old", "fb_old", feedback={"value": 1}, source={"source_type": "AI_JUDGE"}
    ),
    _create("create feedback by nobody", "nobody", feedback={"value": 1}, source={}),
    _create("create feedback of an unknown source", "unknown", feedback={"value": 1}, source={"source_type": "ROBOT"}),
    _create("create an assessment without a name", "", feedback={"value": 1}),
    _create("create an assessment with a name too long", "n" * 251, feedback={"value": 1}),
    _update("update the name", "fb_number", "assessment_name", assessment_name="renamed"),
    _update(
        "update both kinds", "ex_number", "feedback,expectation", feedback={"value": "n"}, expectation={"value": "n"}
    ),
    _update("update an unknown field", "fb_all", "colour"),
    _update("update a field that stays", "fb_all", "trace_id"),
]
