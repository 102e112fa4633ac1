"""mlflow.genai handles prompts: text and chat, aliases, tags, links, and an evaluation that names its prompt."""

import json
from typing import Any

import mlflow
import pytest
from mlflow.entities.model_registry import PromptModelConfig
from mlflow.exceptions import MlflowException
from mlflow.genai.scorers import scorer
from pydantic import BaseModel

from tests.api_client import unique_name

BACKENDS = ["sqlite"]


class Answer(BaseModel):
    """What a model is asked to answer with."""

    text: str
    certain: bool


@pytest.fixture
def name(experiment_id: str) -> str:
    return unique_name("prompt")


def linked(value: str) -> set[tuple[str, str]]:
    """The names and versions in a tag that links prompts."""
    return {(prompt["name"], prompt["version"]) for prompt in json.loads(value)}


def test_a_text_prompt_is_registered_loaded_and_filled_in(name: str) -> None:
    first = mlflow.genai.register_prompt(
        name, "Answer {{question}} briefly.", commit_message="first", tags={"author": "ada"}
    )
    assert (first.version, first.uri, first.is_text_prompt) == (1, f"prompts:/{name}/1", True)
    second = mlflow.genai.register_prompt(name, "Answer {{question}} in {{language}}.")
    assert second.version == 2
    loaded = mlflow.genai.load_prompt(f"prompts:/{name}/1")
    assert loaded.format(question="why") == "Answer why briefly."
    assert (loaded.commit_message, loaded.tags["author"]) == ("first", "ada")
    assert loaded.creation_timestamp == first.creation_timestamp
    assert mlflow.genai.load_prompt(name).version == 2
    assert mlflow.genai.load_prompt(name, version=1).template == loaded.template
    assert mlflow.genai.load_prompt(f"prompts:/{name}@latest").variables == {"question", "language"}
    assert mlflow.genai.load_prompt(f"prompts:/{name}/9", allow_missing=True) is None
    with pytest.raises(MlflowException, match="not found"):
        mlflow.genai.load_prompt(f"prompts:/{name}/9")


def test_a_chat_prompt_keeps_its_messages_format_and_model(name: str) -> None:
    messages = [{"role": "system", "content": "Be {{mood}}."}, {"role": "user", "content": "{{question}}"}]
    config = PromptModelConfig(provider="stub", model_name="stub-1", temperature=0.5, max_tokens=20)
    mlflow.genai.register_prompt(name, messages, response_format=Answer, model_config=config)
    loaded = mlflow.genai.load_prompt(f"prompts:/{name}/1")
    assert loaded.template == messages
    assert loaded.format(mood="kind", question="why")[0] == {"role": "system", "content": "Be kind."}
    assert set(loaded.response_format["properties"]) == {"text", "certain"}
    assert loaded.model_config["model_name"] == "stub-1"
    mlflow.genai.set_prompt_model_config(name, 1, PromptModelConfig(model_name="stub-2"))
    changed = mlflow.genai.load_prompt(f"prompts:/{name}/1", cache_ttl_seconds=0)
    assert changed.model_config["model_name"] == "stub-2"


def test_aliases_and_tags_of_prompts_are_set_and_removed(client: mlflow.MlflowClient, name: str) -> None:
    for text in ("one", "two"):
        mlflow.genai.register_prompt(name, text)
    mlflow.genai.set_prompt_alias(name, "production", 1)
    assert mlflow.genai.load_prompt(f"prompts:/{name}@production").template == "one"
    mlflow.genai.set_prompt_alias(name, "production", 2)
    fresh = mlflow.genai.load_prompt(f"prompts:/{name}@production", cache_ttl_seconds=0)
    assert (fresh.template, fresh.aliases) == ("two", ["production"])
    mlflow.genai.delete_prompt_alias(name, "production")
    with pytest.raises(MlflowException, match="alias production not found"):
        mlflow.genai.load_prompt(f"prompts:/{name}@production", cache_ttl_seconds=0)
    mlflow.genai.set_prompt_tag(name, "team", "red")
    mlflow.genai.set_prompt_version_tag(name, 1, "reviewed", "yes")
    assert mlflow.genai.get_prompt_tags(name)["team"] == "red"
    assert mlflow.genai.load_prompt(f"prompts:/{name}/1", cache_ttl_seconds=0).tags["reviewed"] == "yes"
    mlflow.genai.delete_prompt_tag(name, "team")
    mlflow.genai.delete_prompt_version_tag(name, 1, "reviewed")
    assert "team" not in mlflow.genai.get_prompt_tags(name)
    assert "reviewed" not in client.get_prompt_version(name, 1).tags


def test_prompts_are_searched_apart_from_models(client: mlflow.MlflowClient, name: str, experiment_id: str) -> None:
    client.create_registered_model(f"{name}-model")
    for number in range(3):
        mlflow.genai.register_prompt(f"{name}-{number}", "text", tags={"n": str(number)})
    by_name = mlflow.genai.search_prompts(f"name LIKE '{name}%'")
    assert [prompt.name for prompt in by_name] == [f"{name}-{number}" for number in range(3)]
    assert [prompt.name for prompt in mlflow.genai.search_prompts(f"name LIKE '{name}%' AND tags.n = '1'")] == [
        f"{name}-1"
    ]
    of_experiment = mlflow.genai.search_prompts(f"experiment_id = '{experiment_id}'")
    assert {prompt.name for prompt in of_experiment} == {f"{name}-{number}" for number in range(3)}
    models = client.search_registered_models(f"name LIKE '{name}%'")
    assert [model.name for model in models] == [f"{name}-model"]
    first = client.search_prompts(f"name LIKE '{name}%'", max_results=2)
    second = client.search_prompts(f"name LIKE '{name}%'", max_results=2, page_token=first.token)
    assert (len(first), len(second)) == (2, 1)


def test_versions_of_a_prompt_are_listed_and_deleted(client: mlflow.MlflowClient, name: str) -> None:
    for text in ("one", "two", "three"):
        mlflow.genai.register_prompt(name, text)
    listed = client.search_prompt_versions(name)
    assert [(version.version, version.template) for version in listed] == [(3, "three"), (2, "two"), (1, "one")]
    client.delete_prompt_version(name, "2")
    assert [version.version for version in client.search_prompt_versions(name)] == [3, 1]
    for version in ("1", "3"):
        client.delete_prompt_version(name, version)
    client.delete_prompt(name)
    assert client.get_prompt(name) is None


def test_models_and_prompts_cannot_take_each_others_names(client: mlflow.MlflowClient, name: str) -> None:
    client.create_registered_model(name)
    with pytest.raises(MlflowException, match="exists with the same name"):
        mlflow.genai.register_prompt(name, "text")
    mlflow.genai.register_prompt(f"{name}-p", "text")
    with pytest.raises(MlflowException, match="already taken by a prompt"):
        client.create_registered_model(f"{name}-p")


def test_prompts_are_linked_with_runs_models_and_traces(client: mlflow.MlflowClient, name: str) -> None:
    prompt = mlflow.genai.register_prompt(name, "Answer {{question}}")
    model = mlflow.initialize_logged_model(name="app")
    with mlflow.start_run() as run:
        client.link_prompt_version_to_run(run.info.run_id, prompt)
    client.link_prompt_version_to_model(name, "1", model.model_id)
    with mlflow.start_span("answer") as span:
        trace_id = span.trace_id
    mlflow.flush_trace_async_logging()
    client.link_prompt_versions_to_trace([prompt], trace_id)
    expected = {(name, "1")}
    assert linked(client.get_run(run.info.run_id).data.tags["mlflow.linkedPrompts"]) == expected
    assert linked(client.get_logged_model(model.model_id).tags["mlflow.linkedPrompts"]) == expected
    assert linked(client.get_trace(trace_id).info.tags["mlflow.linkedPrompts"]) == expected
    locations = [run.info.experiment_id]
    found = client.search_traces(locations=locations, filter_string=f"prompt = '{name}/1'")
    assert [trace.info.trace_id for trace in found] == [trace_id]


def test_an_evaluation_names_the_prompt_that_it_judged(client: mlflow.MlflowClient, name: str) -> None:
    mlflow.genai.register_prompt(name, "Answer in capitals: {{question}}")
    mlflow.genai.set_prompt_alias(name, "judged", 1)
    dataset = mlflow.genai.create_dataset(name=unique_name("d"), tags={"prompt": f"prompts:/{name}/1"})
    dataset.merge_records([{"inputs": {"question": q}, "expectations": {"answer": q.upper()}} for q in ("a", "b")])

    @mlflow.trace
    def app(question: str) -> str:
        prompt = mlflow.genai.load_prompt(f"prompts:/{name}@judged")
        return prompt.format(question=question).rpartition(": ")[2].upper()

    @scorer
    def right(outputs: str, expectations: dict[str, Any]) -> bool:
        return outputs == expectations["answer"]

    result = mlflow.genai.evaluate(data=dataset, predict_fn=app, scorers=[right])
    assert result.metrics["right/mean"] == 1.0
    run = client.get_run(result.run_id)
    assert linked(run.data.tags["mlflow.linkedPrompts"]) == {(name, "1")}
    mlflow.flush_trace_async_logging()
    for trace in mlflow.search_traces(run_id=result.run_id, return_type="list"):
        assert linked(trace.info.tags["mlflow.linkedPrompts"]) == {(name, "1")}
    (found,) = mlflow.genai.search_datasets(filter_string=f"tags.prompt = 'prompts:/{name}/1'")
    assert found.dataset_id == dataset.dataset_id
