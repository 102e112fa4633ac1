"""The figures, the ratios between them and the table that the benchmarks print."""

import json
from typing import Any

import pytest

from benchmarks.figures import Figure
from benchmarks.load import LoadFailed, parse_result
from benchmarks.report import END, START, into_readme, number, ratio, render
from benchmarks.seed import METRICS, PARAMS, TAGS, Seeded, metric_values, run_entries


def rate(server: str, value: float | None, **more: Any) -> Figure:
    return Figure("get_run", server, "get run", "per s", value, clients=16, **more)


def start_time(server: str, value: float) -> Figure:
    return Figure("cold_start", server, "cold start", "s", value, lower_is_better=True)


def results(*figures: Figure, quick: bool = False) -> dict[str, Any]:
    """What run.py writes, for these figures, after a round trip through JSON."""
    machine = {"processor": "a processor", "cores": 2, "memory_gib": 24, "system": "Linux 6.1", "python": "3.11.2"}
    servers = {name: {"version": "1.0", "store": "sqlite", "busy_before": 0.02} for name in ("runnel", "mlflow")}
    return json.loads(
        json.dumps(
            {
                "date": "2030-01-02T03:04:05+00:00",
                "machine": machine,
                "settings": {"quick": quick},
                "servers": servers,
                "figures": [figure.as_json() for figure in figures],
            }
        )
    )


def cells(rendered: str, title: str) -> list[str]:
    """The cells of the first table line that starts with the title."""
    line = next(line for line in rendered.splitlines() if line.startswith(f"| {title}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_ratio_above_one_means_better_for_rates_and_for_times() -> None:
    assert ratio(rate("runnel", 300), rate("mlflow", 100)) == 3
    assert ratio(start_time("runnel", 0.5), start_time("mlflow", 20)) == 40


@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param(None, id="missing"),
        pytest.param(rate("mlflow", None), id="without a value"),
        pytest.param(rate("mlflow", 0.0), id="zero"),
        pytest.param(rate("mlflow", 100, errors=3, invalid="3 of 100 answers were errors"), id="invalid"),
    ],
)
def test_there_is_no_ratio_to_a_figure_that_must_not_be_compared(theirs: Figure | None) -> None:
    assert ratio(rate("runnel", 300), theirs) is None
    assert ratio(theirs, rate("runnel", 300)) is None


def test_the_table_shows_every_servers_figure_and_the_ratio() -> None:
    rendered = render(results(rate("runnel", 3_000), rate("mlflow", 86.4)))
    assert cells(rendered, "get run") == ["get run", "16", "per s", "3,000", "86.4", "34.7×"]


def test_the_table_strikes_out_an_invalid_figure_and_says_why() -> None:
    broken = rate("mlflow", 86.4, errors=3, invalid="3 of 100 answers were errors")
    rendered = render(results(rate("runnel", 3_000), broken))
    assert cells(rendered, "get run")[4:] == ["~~86.4~~ (1)", "–"]
    assert "1. mlflow: 3 of 100 answers were errors" in rendered


def test_the_table_names_the_reason_where_there_is_no_figure() -> None:
    rendered = render(results(rate("runnel", 3_000), rate("mlflow", None, invalid="not offered")))
    assert cells(rendered, "get run")[4:] == ["– (1)", "–"]
    assert "1. mlflow: not offered" in rendered


def test_a_note_stands_under_the_table_once_and_the_figure_is_compared_all_the_same() -> None:
    fewer = {"note": "over 400 runs"}
    one = Figure("search", "mlflow", "search, newest", "per s", 2.0, **fewer)
    other = Figure("search", "mlflow", "search, filtered", "per s", 1.0, **fewer)
    ours = Figure("search", "runnel", "search, newest", "per s", 10.0)
    rendered = render(results(ours, one, other))
    assert cells(rendered, "search, newest")[4:] == ["2.00 (1)", "5.00×"]
    assert cells(rendered, "search, filtered")[3:] == ["–", "1.00 (1)", "–"]
    assert rendered.count("over 400 runs") == 1


def test_latencies_have_a_table_of_their_own() -> None:
    ours = rate("runnel", 3_000, p50_ms=0.31, p99_ms=2.5, requests=15_000)
    rendered = render(results(ours, rate("mlflow", 86.4)))
    latencies = rendered.partition("Latency")[2]
    assert cells(latencies, "get run") == ["get run", "16", "0.310 / 2.50", "–"]


def test_without_runnel_there_are_figures_but_no_ratios() -> None:
    data = results(rate("mlflow", 86.4))
    del data["servers"]["runnel"]
    assert cells(render(data), "get run") == ["get run", "16", "per s", "86.4"]


def test_quick_results_are_called_what_they_are() -> None:
    assert "Quick mode" in render(results(rate("mlflow", 1.0), quick=True))
    assert "Quick mode" not in render(results(rate("mlflow", 1.0)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(12_345.6, "12,346"), (100.0, "100"), (99.96, "100"), (43.21, "43.2"), (3.14159, "3.14"), (0.0712, "0.071")],
)
def test_a_number_keeps_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_only_the_part_of_the_readme_between_the_marks_is_replaced() -> None:
    readme = f"# Title\n{START}\nold\n{END}\nThe end.\n"
    assert into_readme(readme, "new") == f"# Title\n{START}\nnew\n{END}\nThe end.\n"
    with pytest.raises(ValueError, match="needs the marks"):
        into_readme("# Title\n", "new")


def test_a_loops_result_counts_bad_answers_and_broken_connections_as_errors() -> None:
    counts = '"connect":1,"read":2,"write":3,"timeout":4,"status":5'
    line = f'RESULT {{"requests":500,"microseconds":2000000,"p50":1500,"p99":40000,{counts}}}'
    result = parse_result(f"Running 2s test\n{line}\n")
    assert (result.per_second, result.errors) == (250, 15)
    assert (result.p50_ms, result.p99_ms) == (1.5, 40)


def test_a_loop_without_a_result_fails_with_wrks_words() -> None:
    with pytest.raises(LoadFailed, match="unable to connect"):
        parse_result("", "unable to connect to 127.0.0.1:1 Connection refused")


def test_a_seeded_run_has_25_entries() -> None:
    entries = run_entries(7)
    assert [len(entries[kind]) for kind in ("metrics", "params", "tags")] == [METRICS, PARAMS, TAGS]
    assert METRICS + PARAMS + TAGS == 25


def test_the_expected_search_result_is_filtered_ordered_and_limited() -> None:
    seeded = Seeded(wanted=200, experiment_id="1", indices=list(range(200)))
    names = seeded.best(threshold=0.5, category=3, count=5)
    indices = [int(name.removeprefix("seeded-")) for name in names]
    assert len(indices) == 5
    assert all(index % 10 == 3 and metric_values(index)[0] > 0.5 for index in indices)
    ordered_by = [metric_values(index)[1] for index in indices]
    assert ordered_by == sorted(ordered_by, reverse=True)
    assert all(name in seeded.best(0.5, 3, 200)[:5] for name in names)


def test_a_server_that_took_fewer_runs_is_said_to() -> None:
    assert Seeded(2, "1", indices=[0, 1]).note == ""
    assert "over 1 runs" in Seeded(2, "1", indices=[0], seconds=600.0).note
