"""The same requests to a real `mlflow server` and to Runnel, both new, and the answers compared field by field."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

import pytest

from tests.compat import (
    asks_artifacts,
    asks_assessments,
    asks_experiments,
    asks_issues,
    asks_model_versions,
    asks_models,
    asks_prompts,
    asks_registered_models,
    asks_review,
    asks_runs,
    asks_search,
    asks_spans,
    asks_trace_metrics,
    asks_traces,
    asks_webhooks,
)
from tests.compat.compare import differences
from tests.compat.exchange import Answer, Ask, play
from tests.compat.field_policy import DEVIATIONS as OTHER_DEVIATIONS
from tests.compat.mlflow_process import MlflowProcess
from tests.compat.registry_deviations import REGISTRY_DEVIATIONS
from tests.compat.trace_deviations import TRACE_DEVIATIONS
from tests.compat.webhook_deviations import WEBHOOK_DEVIATIONS
from tests.server_process import ServerProcess

BACKENDS = ["sqlite"]

ASKS: list[Ask] = [
    *asks_experiments.SERVER,
    *asks_experiments.EXPERIMENTS,
    *asks_runs.CREATE,
    *asks_runs.UPDATE,
    *asks_runs.LOG,
    *asks_runs.HISTORY,
    *asks_runs.DELETE,
    *asks_search.SEARCH,
    *asks_artifacts.ARTIFACTS,
    *asks_models.LOGGED_MODELS,
    *asks_registered_models.REGISTERED_MODELS,
    *asks_model_versions.VERSIONS_ASKS,
    *asks_prompts.PROMPTS,
    *asks_traces.TRACES_ASKS,
    *asks_spans.SPANS,
    *asks_assessments.ASSESSMENTS,
    *asks_trace_metrics.TRACE_METRICS,
    *asks_trace_metrics.CORRELATION,
    *asks_issues.PLACES,
    *asks_issues.ISSUES,
    *asks_review.REVIEW,
    *asks_issues.ISSUES_OTHERWISE,
    *asks_webhooks.WEBHOOKS,
]

DEVIATIONS = [*OTHER_DEVIATIONS, *REGISTRY_DEVIATIONS, *TRACE_DEVIATIONS, *WEBHOOK_DEVIATIONS]
MEANT = {what: deviation for deviation in DEVIATIONS for what in deviation.asks}

# The first test waits for a server that needs up to a minute to start, then for all the answers.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def their_answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """What MLflow's server answered, by what was asked."""
    server = MlflowProcess(tmp_path_factory.mktemp("mlflow"))
    try:
        return play(server.url, ASKS)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def our_answers(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """What Runnel answered, by what was asked."""
    server = ServerProcess(tmp_path_factory.mktemp("runnel"), "--backend-store-uri", new_database())
    try:
        answers = play(server.url, ASKS)
        server.check_ends_well()
        return answers
    finally:
        server.kill()


Answers = dict[str, Answer]


def test_the_requests_and_the_deviations_are_named_once() -> None:
    named = [ask.what for ask in ASKS]
    deviating = [what for deviation in DEVIATIONS for what in deviation.asks]
    assert len(set(named)) == len(named)
    assert len(set(deviating)) == len(deviating)
    assert set(deviating) <= set(named)


@pytest.mark.parametrize("what", [ask.what for ask in ASKS if ask.what not in MEANT])
def test_the_answer_is_that_of_mlflow(what: str, their_answers: Answers, our_answers: Answers) -> None:
    found = differences(their_answers[what], our_answers[what])
    assert not found, listed(found)


@pytest.mark.parametrize("what", sorted(MEANT))
def test_a_deviation_is_the_one_that_is_meant(what: str, their_answers: Answers, our_answers: Answers) -> None:
    found = differences(their_answers[what], our_answers[what])
    patterns = MEANT[what].fields
    assert our_answers[what].status == MEANT[what].status
    beyond = {field: said for field, said in found.items() if not any(fnmatchcase(field, p) for p in patterns)}
    assert not beyond, listed(beyond)
    gone = [pattern for pattern in patterns if not any(fnmatchcase(field, pattern) for field in found)]
    assert not gone, f"no deviation any more: {gone}; what differs:\n{listed(found)}"


def listed(found: dict[str, str]) -> str:
    """The differences, a line each."""
    return "\n".join(f"{field}: {said}" for field, said in found.items())
