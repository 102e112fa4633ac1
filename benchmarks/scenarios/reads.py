"""The read loops; before each, one answer is checked in full, so that no server gains by a wrong one."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from benchmarks.figures import Figure
from benchmarks.rest import API
from benchmarks.seed import METRICS, PARAMS, Seeded, seed_history, seed_runs
from benchmarks.session import Session
from benchmarks.settings import CLIENTS

READ_RUNS = 100
# The page size of the mlflow client's own get_metric_history.
HISTORY_PAGE = 25_000
SEARCH_PAGE = 100


def get_run(session: Session) -> Iterator[Figure]:
    """runs/get of 100 runs with 25 entries each, in turn."""
    run_ids = [f"{number:032x}" for number in range(READ_RUNS)]
    note = ""
    if session.server.spec.speaks_mlflow:
        seeded = seed_runs(session.server, session.experiment("get"), READ_RUNS, session.settings.seed_seconds)
        body = {"experiment_ids": [seeded.experiment_id], "max_results": READ_RUNS}
        run_ids = [run["info"]["run_id"] for run in session.rest.post("runs/search", body)["runs"]]
        note = seeded.note
        wrong = _incomplete(session.rest.get("runs/get", run_id=run_ids[0])["run"])
        if wrong:
            yield session.figure("get_run", "get run", "per s", None, invalid=wrong)
            return
    paths = [f"{API}runs/get?run_id={run_id}" for run_id in run_ids]
    for clients in CLIENTS:
        yield session.loop("get_run", "get run", clients, "get.lua", paths, note=note)


def history(session: Session) -> Iterator[Figure]:
    """metrics/get-history of one metric with 100,000 points, in the pages that the mlflow client asks for."""
    wanted = session.settings.history_points
    title = f"history of {wanted:,} points"
    run_id = session.rest.create_run(session.experiment("history"), "history")["run_id"]
    logged = seed_history(session.rest, run_id, "loss", wanted, session.settings.seed_seconds)
    session.server.settle()
    paths, points = _history_pages(session, run_id)
    if points != logged:
        yield session.figure("history", title, "points/s", None, invalid=f"{points:,} of {logged:,} points came back")
        return
    note = "" if logged == wanted else f"over {logged:,} points: it took no more in {session.settings.seed_seconds} s"
    for clients in CLIENTS:
        yield session.loop(
            "history", title, clients, "get.lua", paths, unit="points/s", worth=points / len(paths), note=note
        )


def search_few(session: Session) -> Iterator[Figure]:
    """runs/search for 100 of 5,000 runs with 25 entries each."""
    yield from _search(session, "search_few", session.settings.few_runs)


def search_many(session: Session) -> Iterator[Figure]:
    """runs/search for 100 of 100,000 runs with 25 entries each."""
    yield from _search(session, "search_many", session.settings.many_runs)


def _search(session: Session, scenario: str, count: int) -> Iterator[Figure]:
    seeded = seed_runs(session.server, session.experiment(scenario), count, session.settings.seed_seconds)
    session.server.settle()
    for kind, title in (("all", "newest"), ("filtered", "filtered and ordered")):
        wrong = _wrong_search(session, seeded, kind)
        for clients in CLIENTS:
            figure = session.loop(
                scenario, f"search {count:,} runs, {title}", clients, "search.lua", [seeded.experiment_id, kind],
                note=seeded.note,
            )  # fmt: skip
            yield replace(figure, invalid=figure.invalid or wrong)


def _wrong_search(session: Session, seeded: Seeded, kind: str) -> str:
    """What is wrong with the answer to one search such as wrk/search.lua sends, or nothing."""
    body: dict[str, Any] = {"experiment_ids": [seeded.experiment_id], "max_results": SEARCH_PAGE}
    if kind == "filtered":
        body["filter"] = "metrics.metric_0 > 0.5 and params.param_0 = 'category_3'"
        body["order_by"] = ["metrics.metric_1 DESC"]
    runs = session.rest.post("runs/search", body).get("runs", [])
    if kind == "filtered":
        if [run["info"]["run_name"] for run in runs] != seeded.best(0.5, 3, SEARCH_PAGE):
            return "the search found other runs, or in another order"
    elif len(runs) != min(SEARCH_PAGE, len(seeded.indices)):
        return f"the search gave {len(runs)} runs"
    return next((wrong for run in runs if (wrong := _incomplete(run))), "")


def _incomplete(run: dict[str, Any]) -> str:
    """What a seeded run lacks, or nothing."""
    data = run["data"]
    found = (len(data.get("metrics", [])), len(data.get("params", [])))
    return "" if found == (METRICS, PARAMS) else f"a run came back with {found[0]} metrics and {found[1]} params"


def _history_pages(session: Session, run_id: str) -> tuple[list[str], int]:
    """The paths of all pages of the history, and how many points they hold together."""
    query: dict[str, str | int] = {"run_id": run_id, "metric_key": "loss", "max_results": HISTORY_PAGE}
    paths: list[str] = []
    points = 0
    while True:
        paths.append(f"{API}metrics/get-history?{urlencode(query)}")
        page = session.rest.get("metrics/get-history", **query)
        points += len(page.get("metrics", []))
        if not page.get("next_page_token"):
            return paths, points
        query["page_token"] = page["next_page_token"]
