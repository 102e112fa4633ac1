"""The client sends, lists and fetches the files of runs through the server."""

import json
from pathlib import Path

import matplotlib
import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException

BACKENDS = ["sqlite"]


@pytest.fixture
def run_id(experiment_id: str) -> str:
    """A run that is being logged into."""
    run: mlflow.ActiveRun = mlflow.start_run()
    return str(run.info.run_id)


def paths(client: mlflow.MlflowClient, run_id: str, folder: str | None = None) -> list[str]:
    return [file.path for file in client.list_artifacts(run_id, folder)]


def fetched(run_id: str, path: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path))


def test_a_file_comes_back_as_it_was(client: mlflow.MlflowClient, run_id: str, tmp_path: Path) -> None:
    sent = bytes(range(256)) * 5000
    (tmp_path / "weights.bin").write_bytes(sent)
    mlflow.log_artifact(str(tmp_path / "weights.bin"))
    mlflow.log_artifact(str(tmp_path / "weights.bin"), artifact_path="deep/er")
    (file,) = [file for file in client.list_artifacts(run_id) if not file.is_dir]
    assert (file.path, file.file_size) == ("weights.bin", len(sent))
    assert fetched(run_id, "weights.bin").read_bytes() == sent
    assert fetched(run_id, "deep/er/weights.bin").read_bytes() == sent


def test_a_folder_comes_back_with_all_that_is_in_it(client: mlflow.MlflowClient, run_id: str, tmp_path: Path) -> None:
    sent = {"a.txt": "a", "sub/b.txt": "b", "sub/deeper/c d.txt": "c", "sub/ö.txt": "ö", "sub/100%.txt": "%"}
    for name, text in sent.items():
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    mlflow.log_artifacts(str(tmp_path / "folder"), artifact_path="all")
    assert paths(client, run_id) == ["all"]
    assert paths(client, run_id, "all") == ["all/a.txt", "all/sub"]
    got = fetched(run_id, "all")
    assert {file.relative_to(got).as_posix(): file.read_text() for file in got.rglob("*") if file.is_file()} == sent


def test_texts_and_dictionaries_are_read_back(run_id: str, client: mlflow.MlflowClient) -> None:
    uri = client.get_run(run_id).info.artifact_uri
    mlflow.log_text("grüße\n", "notes/hello.md")
    mlflow.log_dict({"a": [1, None, "ü"]}, "config.json")
    mlflow.log_dict({"a": {"b": 1}}, "config.yaml")
    assert mlflow.artifacts.load_text(f"{uri}/notes/hello.md") == "grüße\n"
    assert mlflow.artifacts.load_dict(f"{uri}/config.json") == {"a": [1, None, "ü"]}
    assert fetched(run_id, "config.yaml").read_text() == "a:\n  b: 1\n"


def test_an_artifact_is_replaced_by_one_of_the_same_name(run_id: str, client: mlflow.MlflowClient) -> None:
    mlflow.log_text("a long first text", "note.txt")
    mlflow.log_text("second", "note.txt")
    assert fetched(run_id, "note.txt").read_text() == "second"
    assert paths(client, run_id) == ["note.txt"]


def test_images_are_read_back(run_id: str, client: mlflow.MlflowClient) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    mlflow.log_image(pixels, "chart.png")
    uri = client.get_run(run_id).info.artifact_uri
    image = mlflow.artifacts.load_image(f"{uri}/chart.png")
    assert np.array_equal(np.asarray(image), pixels)


def test_images_of_steps_are_kept_with_their_thumbnails(run_id: str, client: mlflow.MlflowClient) -> None:
    for step in range(2):
        mlflow.log_image(np.full((8, 8, 3), step, dtype=np.uint8), key="sample", step=step)
    mlflow.flush_artifact_async_logging()
    names = paths(client, run_id, "images")
    assert [sum(f"sample+step+{step}+" in name for name in names) for step in range(2)] == [2, 2]
    assert client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"


def test_figures_are_kept_as_images(run_id: str, client: mlflow.MlflowClient) -> None:
    matplotlib.use("Agg")
    figure = Figure()
    figure.subplots().plot([1, 2, 3])
    mlflow.log_figure(figure, "plots/line.png")
    assert fetched(run_id, "plots/line.png").read_bytes().startswith(b"\x89PNG")


def test_a_table_grows_and_is_read_back(run_id: str) -> None:
    mlflow.log_table({"question": ["a?"], "answer": ["b"], "score": [1]}, "eval/answers.json")
    mlflow.log_table(
        pd.DataFrame({"question": ["c?"], "answer": ["d"], "score": [0]}), artifact_file="eval/answers.json"
    )
    stored = json.loads(fetched(run_id, "eval/answers.json").read_text())
    assert stored == {"columns": ["question", "answer", "score"], "data": [["a?", "b", 1], ["c?", "d", 0]]}


def test_a_table_is_loaded_over_runs(run_id: str) -> None:
    mlflow.log_table({"question": ["a?"], "score": [1]}, "answers.json")
    mlflow.end_run()
    with mlflow.start_run() as other:
        mlflow.log_table({"question": ["c?"], "score": [0]}, "answers.json")
    table = mlflow.load_table("answers.json", extra_columns=["run_id"])
    assert {tuple(row) for row in table.itertuples(index=False)} == {
        ("a?", 1, run_id),
        ("c?", 0, other.info.run_id),
    }


def test_artifacts_are_found_by_a_runs_uri(run_id: str, tmp_path: Path) -> None:
    mlflow.log_text("x", "folder/x.txt")
    got = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/folder/x.txt", dst_path=str(tmp_path / "here"))
    assert Path(got).read_text() == "x"
    listed = mlflow.artifacts.list_artifacts(f"runs:/{run_id}/folder")
    assert [file.path for file in listed] == ["folder/x.txt"]


def test_a_run_without_artifacts_lists_none(client: mlflow.MlflowClient, run_id: str) -> None:
    assert client.list_artifacts(run_id) == []
    assert client.list_artifacts(run_id, "nowhere") == []


def test_an_artifact_that_is_not_there_is_an_error(client: mlflow.MlflowClient, run_id: str) -> None:
    mlflow.log_text("x", "there.txt")
    with pytest.raises(MlflowException, match=r"(?s)missing\.txt|not exist|No such|Unable"):
        client.download_artifacts(run_id, "missing.txt")


def test_artifacts_survive_the_end_of_their_run(client: mlflow.MlflowClient, run_id: str) -> None:
    mlflow.log_text("x", "x.txt")
    mlflow.end_run()
    client.log_text(run_id, "y", "y.txt")
    assert paths(client, run_id) == ["x.txt", "y.txt"]


def test_artifacts_are_removed_through_their_repository(client: mlflow.MlflowClient, run_id: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    mlflow.log_text("x", "a/x.txt")
    mlflow.log_text("y", "y.txt")
    repository = get_artifact_repository(client.get_run(run_id).info.artifact_uri)
    repository.delete_artifacts("a/x.txt")
    repository.delete_artifacts("y.txt")
    assert "y.txt" not in paths(client, run_id)
    assert paths(client, run_id, "a") == []
