"""Scorers of mlflow.genai are registered, found and deleted, as people who evaluate LLM apps do."""

from typing import Any

import pytest
from mlflow import MlflowException
from mlflow.genai.judges import make_judge
from mlflow.genai.scorers import (
    Guidelines,
    ScorerSamplingConfig,
    delete_scorer,
    get_scorer,
    list_scorers,
    scorer,
)
from mlflow.genai.scorers.registry import list_scorer_versions

INSTRUCTIONS = "Is {{ outputs }} an answer to {{ inputs }}? Say yes or no."


def judge(name: str = "answers", instructions: str = INSTRUCTIONS, model: str = "openai:/gpt-4o") -> Any:
    return make_judge(name=name, instructions=instructions, model=model)


def test_a_judge_is_found_again_as_it_was_registered(experiment_id: str) -> None:
    judge().register()
    found: Any = get_scorer(name="answers")
    assert (found.name, found.instructions, found.model) == ("answers", INSTRUCTIONS, "openai:/gpt-4o")
    assert get_scorer(name="answers", experiment_id=experiment_id).model_dump() == judge().model_dump()


def test_a_built_in_scorer_is_found_again_under_the_name_it_was_given(experiment_id: str) -> None:
    Guidelines(name="tone", guidelines=["Be polite"], model="openai:/gpt-4o").register(name="polite")
    found: Any = get_scorer(name="polite")
    assert (found.name, found.guidelines) == ("polite", ["Be polite"])


def test_the_versions_of_a_scorer_are_all_there(experiment_id: str) -> None:
    for number in (1, 2, 3):
        judge(instructions=f"{INSTRUCTIONS} ({number})").register()
    found: Any = list_scorer_versions(name="answers")
    assert [(version, scorer.instructions[-3:]) for scorer, version in found] == [(1, "(1)"), (2, "(2)"), (3, "(3)")]
    latest: Any = get_scorer(name="answers")
    first: Any = get_scorer(name="answers", version=1)
    assert (latest.instructions[-3:], first.instructions[-3:]) == ("(3)", "(1)")


def test_a_list_has_the_latest_version_of_each_scorer(experiment_id: str) -> None:
    assert list_scorers() == []
    judge("b").register()
    judge("a").register()
    judge("b", f"{INSTRUCTIONS} (2)").register()
    found: Any = list_scorers(experiment_id=experiment_id)
    assert [(scorer.name, scorer.instructions) for scorer in found] == [
        ("a", INSTRUCTIONS),
        ("b", f"{INSTRUCTIONS} (2)"),
    ]


def test_a_version_is_deleted_or_all_of_them(experiment_id: str) -> None:
    for _ in range(3):
        judge().register()
    delete_scorer(name="answers", version=2)
    assert [version for _, version in list_scorer_versions(name="answers")] == [1, 3]
    delete_scorer(name="answers", version="all")
    assert list_scorers() == []
    for version in (None, 1):
        with pytest.raises(MlflowException, match="Scorer with name 'answers'.* not found") as refused:
            get_scorer(name="answers", version=version)
        assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_scorer_made_of_a_function_is_refused_with_the_reason(experiment_id: str) -> None:
    @scorer
    def is_short(outputs: str) -> bool:
        return len(outputs) < 10

    with pytest.raises(MlflowException, match="Custom scorer registration .* is disabled by default") as refused:
        is_short.register()
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    assert list_scorers() == []


def test_a_judge_is_started_changed_and_stopped(experiment_id: str) -> None:
    registered = judge(model="gateway:/my-endpoint").register()
    started = registered.start(sampling_config=ScorerSamplingConfig(sample_rate=0.5, filter_string="status = 'OK'"))
    assert (started.sample_rate, started.filter_string) == (0.5, "status = 'OK'")
    changed = started.update(sampling_config=ScorerSamplingConfig(sample_rate=0.25))
    assert (changed.sample_rate, changed.filter_string) == (0.25, None)
    assert [found.sample_rate for found in list_scorers()] == [0.25]
    changed.stop()
    assert get_scorer(name="answers").sample_rate == 0


def test_a_judge_without_a_gateway_is_not_started(experiment_id: str) -> None:
    registered = judge().register()
    with pytest.raises(MlflowException, match="Scorer 'answers' does not use a gateway model"):
        registered.start(sampling_config=ScorerSamplingConfig(sample_rate=0.5))
