"""The pages as documents: what stands in them, where their links lead, and their twins in JSON and CSV."""

from __future__ import annotations

import csv
import html
import io
import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import urljoin

import httpx
import pytest

from tests.conftest import StartServer
from tests.viewer.conftest import PREFIX, Site
from tests.viewer.sample import LONG_WORD, RIGHT_TO_LEFT, SCRIPT

Path = Callable[[Site], str]


def evaluation(site: Site) -> str:
    return f"experiments/{site.sample.evaluation}"


def run(site: Site) -> str:
    return f"runs/{site.sample.runs[0]}"


def comparison(site: Site) -> str:
    return f"experiments/{site.sample.evaluation}/compare?runs={','.join(site.sample.runs[:3])}"


PAGES: dict[str, Path] = {
    "experiments": lambda site: "",
    "runs": evaluation,
    "run": run,
    "comparison": comparison,
    "search": lambda site: "search?q=s",
    "empty": lambda site: f"experiments/{site.sample.empty}",
    "hostile runs": lambda site: f"experiments/{site.sample.hostile}",
    "hostile run": lambda site: f"runs/{site.sample.hostile_run}",
    "wide runs": lambda site: f"experiments/{site.sample.wide}",
    "wide run": lambda site: f"runs/{site.sample.wide_run}",
    "many runs": lambda site: f"experiments/{site.sample.many}",
    "components": lambda site: "components",
}
every_page = pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)


def cells(document: str, table: str) -> list[list[str]]:
    """The texts of the rows of a table, its heads first."""
    match = re.search(rf'<table id="{table}".*?</table>', document, re.DOTALL)
    assert match is not None, f"no table {table}"
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", match[0], re.DOTALL)
    return [
        [" ".join(text(cell).split()) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in rows
    ]


def text(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def links(document: str) -> set[str]:
    return {html.unescape(each) for each in re.findall(r'<(?:a|link|script)\b[^>]*(?:href|src)="([^"]*)"', document)}


@every_page
def test_every_link_of_a_page_leads_somewhere(site: Site, path: Path) -> None:
    address = path(site)
    document = site.html(address)
    seen: Counter[str] = Counter()
    for link in links(document):
        shape = re.sub("[0-9a-f]{32}", "ID", link)
        seen[shape] += 1
        if seen[shape] > 5:  # as the others like it
            continue
        if link.startswith("https://example.org") or link in ("components", "?page=2", "?sort=name"):
            continue
        assert not link.startswith("/"), "below another path it would be lost"
        target = urljoin(site.url + address, link)
        assert target.startswith(site.url), link
        answer = site.http.get(target)
        assert answer.status_code in (200, 303), f"{link}: {answer.status_code}"
        anchor = link.partition("#")[2]
        assert not anchor or f'id="{anchor}"' in answer.text


@every_page
def test_a_page_is_small_and_lets_in_nothing_from_elsewhere(site: Site, path: Path) -> None:
    answer = site.get(path(site))
    sent = int(answer.headers["content-length"]) if "content-length" in answer.headers else 0
    assert 0 < sent < 30_000
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert " style=" not in answer.text and " onclick=" not in answer.text and "<style" not in answer.text
    assert len(re.findall(r"<script", answer.text)) == 1


@every_page
def test_a_page_has_a_twin_in_json(site: Site, path: Path) -> None:
    document = site.html(path(site))
    (twin,) = set(re.findall(r'type="application/json" href="([^"]*)"', document))
    answer = site.http.get(urljoin(site.url + path(site), html.unescape(twin)))
    assert answer.status_code == 200
    title = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    assert title is not None
    assert answer.json()["title"] in html.unescape(title[1])


def test_the_experiments_are_listed_with_what_goes_on_in_them(site: Site) -> None:
    rows = {row[0]: row for row in cells(site.html(""), "experiments")}
    assert rows["qa-assistant"][1:3] == ["10", "1"]
    assert rows["qa-assistant"][4] == "What we compare"
    assert rows["many runs"][1:3] == ["130", "0"]
    listed = site.get("experiments.json").json()["experiments"]
    activity = [each["last_activity"] for each in listed]
    assert activity == sorted(activity, reverse=True)
    assert {each["name"]: each["run_count"] for each in listed}["12,000 metrics"] == 1


def test_runs_show_metrics_then_params_that_vary(site: Site) -> None:
    groups, heads, *rows = cells(site.html(evaluation(site)), "runs")
    assert groups == ["", "", "Metrics", "Params"]
    metrics = ["accuracy", "answer_relevance/mean", "latency_s", "learning_rate", "tokens"]
    assert heads == ["", "Run", "Status", "Started", *metrics, "model", "prompt", "temperature"]
    by_name = {row[1]: row for row in rows}
    assert len(by_name) == 10
    assert by_name["large-2"][4] == "0.6000"
    assert by_name["large-2"][7] == "4.5e−5"
    assert by_name["medium-4"][4] == "NaN"
    assert by_name["large-5"][2] == "failed"


def test_the_same_params_of_all_runs_are_no_columns_but_a_list(site: Site) -> None:
    document = site.html(evaluation(site) + "?filter=params.model LIKE '%25a%25'")
    (constants,) = re.findall(r'<details class="constants">.*?</details>', document, re.DOTALL)
    assert "qa-40" in constants and "rubric-2" in constants
    assert "dataset" not in cells(document, "runs")[1]


def test_nested_runs_stand_below_their_parent(site: Site) -> None:
    document = site.html(evaluation(site))
    names = [row[1] for row in cells(document, "runs")[2:]]
    assert names[-4:] == ["sweep", "large-2", "medium-1", "small-0"]
    assert document.count('<tr class="deep d1">') == 3


def test_the_best_value_of_a_metric_is_marked_in_its_direction(site: Site) -> None:
    document = site.html(evaluation(site))
    rows = site.get(evaluation(site) + ".json").json()["runs"]
    best = re.findall(r'<td class="number[^"]* best"\s*title="([^"]*)"', document)
    for metric, choose in (("metrics.accuracy", max), ("metrics.latency_s", min), ("metrics.tokens", min)):
        wanted = choose(row[metric] for row in rows if not isinstance(row.get(metric, "NaN"), str))
        assert repr(wanted) in best
    assert repr(max(row.get("metrics.learning_rate", 0) for row in rows)) not in best


def test_runs_can_be_sorted_by_every_column_both_ways(site: Site) -> None:
    path = evaluation(site)
    heads = re.findall(r'<th scope="col"[^>]*><a href="([^"]*)"', site.html(path))
    assert len(heads) == 11
    for head in heads:
        sorted_once = site.html(path + html.unescape(head))
        assert len(re.findall("aria-sort", sorted_once)) == 1
    names = [row["name"] for row in site.get(f"{path}.json?sort=-metrics.accuracy").json()["runs"]]
    assert names[:3] == ["large-8", "medium-7", "small-6"]
    assert names[-2:] == ["medium-4", "sweep"]  # NaN, then none
    names = [row["name"] for row in site.get(f"{path}.json?sort=params.model").json()["runs"]]
    assert names[0].startswith("large") and names[-1] == "sweep"


def test_a_filter_is_in_mlflows_language(site: Site) -> None:
    found = site.html(evaluation(site) + "?filter=metrics.accuracy > 0.7 AND params.model = 'large'")
    assert [row[1] for row in cells(found, "runs")[2:]] == ["large-8", "large-5"]
    nothing = site.html(evaluation(site) + "?filter=params.model = 'none'")
    assert "No run meets this filter" in nothing


def test_a_wrong_filter_is_explained_beside_the_box(site: Site) -> None:
    for query, reason in (
        ("filter=metrics.accuracy >", "expected a value"),
        ("filter=colour = 'red'", "Invalid attribute key 'colour'"),
        ("page=nonsense", "Invalid page token"),
        ("sort=colour", "cannot be sorted by"),
    ):
        answer = site.get(f"{evaluation(site)}?{query}")
        assert answer.status_code == 400
        (error,) = re.findall(r'id="filter-error" role="alert">(.*?)<', answer.text)
        assert reason in html.unescape(error)
        assert "Traceback" not in answer.text
        assert reason in site.get(f"{evaluation(site)}.json?{query}").json()["error"]


def test_columns_can_be_chosen_and_searched_for(site: Site) -> None:
    wide = f"experiments/{site.sample.wide}"
    document = site.html(f"{wide}?find_column=11999")
    assert "metrics.metric-11999" in document
    chosen = site.html(f"{wide}?cols=metrics.metric-11999&cols=user")
    assert cells(chosen, "runs")[1] == ["", "Run", "Status", "Started", "User", "metric-11999"]
    assert cells(chosen, "runs")[2][5] == "11,999"
    tags = site.html(f"{evaluation(site)}?cols=tags.team&cols=source&cols=run_id")
    assert cells(tags, "runs")[1][4:] == ["Source", "Id", "team"]
    durations = {row[1]: row[4] for row in cells(site.html(f"{evaluation(site)}?cols=duration"), "runs")[1:]}
    assert durations["small-3"] == "1 min 26 s" and durations["large-8"] == "·"


def test_many_runs_come_page_by_page(site: Site) -> None:
    first = site.html(f"experiments/{site.sample.many}")
    (following,) = re.findall(r'<a rel="next" href="([^"]*)"', first)
    second = site.html(f"experiments/{site.sample.many}{html.unescape(following)}")
    names = [row[1] for row in cells(first, "runs")[2:] + cells(second, "runs")[2:]]
    assert names == [f"run-{number:03}" for number in range(130)]
    assert 'rel="next"' not in second


def test_a_table_of_runs_is_there_as_csv(site: Site) -> None:
    answer = site.get(f"experiments/{site.sample.many}.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 130
    assert float(rows[129]["metrics.score"]) == 129 / 130
    assert re.fullmatch("[0-9a-f]{32}", rows[0]["run_id"])
    params = list(csv.DictReader(io.StringIO(site.get(f"runs/{site.sample.hostile_run}/params.csv").text)))
    assert len(params) == 301
    assert params[0]["value"] == '\'=HYPERLINK("https://example.org")'  # no spreadsheet runs it
    assert site.get(f"runs/{site.sample.hostile_run}/nothing.csv").status_code == 404


def test_a_run_has_everything_on_one_page(site: Site) -> None:
    document = site.html(run(site))
    for anchor in ("metrics", "params", "tags", "datasets", "models", "traces", "artifacts"):
        assert f'<section id="{anchor}">' in document
    assert cells(document, "metrics-table")[1][:3] == ["accuracy", "0.6500", "3"]
    assert cells(document, "datasets-table")[1][:3] == ["qa-40", "eval", "d1"]
    assert cells(document, "models-table")[1][:3] == ["rag-chain", "made", "pending"]
    assert cells(document, "traces-table")[1][0] == site.sample.trace
    assert [row[0] for row in cells(document, "artifacts-table")[1:]] == ["plots/", "report.md", "tables/"]
    for fact in ("evaluate.py", "0123456789", "main", "ada", "1 min 26 s", "<strong>best</strong>"):
        assert fact in document
    parent = site.html(f"runs/{site.sample.parent}")
    assert [row[0] for row in cells(parent, "children-table")[1:]] == ["large-2", "medium-1", "small-0"]


def test_artifacts_are_listed_folder_by_folder_and_downloaded(site: Site) -> None:
    document = site.html(run(site) + "?path=plots")
    (name, size, path) = cells(document, "artifacts-table")[1]
    assert (name, size, path) == ("a b.txt", "1.50 kB", "plots/a b.txt")
    (link,) = (link for link in links(document) if "get-artifact" in link)
    assert site.http.get(urljoin(f"{site.url}{run(site)}", link)).text == "hello" * 300
    outside = site.html(run(site) + "?path=../..")
    assert 'role="alert"' in outside


def test_names_of_a_run_with_12000_metrics_come_in_parts_and_are_found(site: Site) -> None:
    path = f"runs/{site.sample.wide_run}"
    first = site.html(path)
    assert len(cells(first, "metrics-table")) == 201
    (following,) = re.findall(r'<a rel="next" href="([^"#]*)#metrics"', first)
    assert cells(site.html(path + html.unescape(following)), "metrics-table")[1][0] == "metric-00200"
    assert [row[0] for row in cells(site.html(f"{path}?find=c-119"), "metrics-table")[1:3]] == [
        "metric-11900",
        "metric-11901",
    ]


def test_what_clients_log_is_text_and_nothing_else(site: Site) -> None:
    for path in (f"experiments/{site.sample.hostile}", f"runs/{site.sample.hostile_run}", "", evaluation(site)):
        document = site.html(path)
        assert "<script>" not in document
        assert 'href="javascript:' not in document
        assert "<img" not in document
    document = site.html(f"runs/{site.sample.hostile_run}")
    assert html.escape(SCRIPT).replace("&#x27;", "&#39;") in document
    assert LONG_WORD in document
    assert f"<bdi>{RIGHT_TO_LEFT}</bdi>" in site.html(f"experiments/{site.sample.hostile}")
    data = site.get(f"runs/{site.sample.hostile_run}.json").json()
    assert {each["key"]: each["value"] for each in data["metrics"]} == {
        "nan": "NaN",
        "great": 1e308,
        "small": -1.5e-9,
        "zero": 0,
        "a/b c:d": 1 / 3,
    }
    assert len(data["params"]) == 301


def test_the_search_box_finds_by_name_and_id(site: Site) -> None:
    found = site.html("search?q=ASSIST")
    assert cells(found, "experiments")[1][0] == "qa-assistant"
    assert cells(site.html("search?q=large-"), "runs")[1][1] == "qa-assistant"
    run_id = site.sample.runs[0]
    assert cells(site.html(f"search?q={run_id[:10]}"), "runs")[1][0] == "small-3"
    assert site.get(f"search?q={run_id}").headers["location"] == f"runs/{run_id}"
    assert site.get(f"search?q={site.sample.trace}").headers["location"].endswith(site.sample.trace)
    assert "Nothing is called that" in site.html("search?q=no such thing")


def test_a_comparison_shows_runs_side_by_side(site: Site) -> None:
    document = site.html(comparison(site))
    heads, first, *_ = cells(document, "metrics-table")
    assert heads == ["Metric", "small-3", "medium-4", "large-5"]
    assert first == ["accuracy", "0.6500", "NaN", "0.7500"]
    assert [row[0] for row in cells(document, "params-table")[1:]] == ["model", "temperature"]
    repeated = "&".join(f"runs={run_id}" for run_id in site.sample.runs[:3])  # as a form sends them
    assert "medium-4" in site.html(f"{evaluation(site)}/compare?{repeated}")


@pytest.mark.parametrize("path", ["experiments/99999", "runs/nothing", "experiments/1/nothing", "static/x/nothing.js"])
def test_what_is_not_there_is_said_on_a_page(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 404
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("path", ["experiments/abc", "experiments/1?rows=0", "runs/%00", "search?q=%00", "?page=x"])
def test_what_cannot_be_asked_for_is_said_on_a_page(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


def test_files_are_kept_for_good_under_a_name_that_changes_with_them(site: Site) -> None:
    for link in links(site.html("")):
        if "/static/" not in link and not link.startswith("./static"):
            continue
        answer = site.get(link)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
        plain = site.get(link, headers={"Accept-Encoding": "identity"})
        assert plain.content == answer.content and "content-encoding" not in plain.headers
        assert site.get(link, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
        older = re.sub("static/[0-9a-f]+/", "static/000000000000/", link)
        assert site.get(older).headers["cache-control"] == "no-cache"


def test_the_address_without_its_last_slash_leads_to_the_pages(site: Site) -> None:
    answer = site.http.get(site.url.rstrip("/"))
    assert answer.status_code == 303
    assert urljoin(site.url.rstrip("/"), answer.headers["location"]) == site.url
    assert "Experiments" in site.html("")


def test_pages_answer_without_the_prefix_as_the_api_does(site: Site) -> None:
    bare = site.url.removesuffix(f"{PREFIX}/")
    assert site.http.get(f"{bare}/experiments/{site.sample.evaluation}").status_code == 200
    assert site.http.get(f"{bare}/api/2.0/mlflow/experiments/get?experiment_id=0").status_code == 200


def test_answers_of_the_api_do_not_change(site: Site) -> None:
    answer = site.get("api/2.0/mlflow/experiments/get?experiment_id=0")
    assert "content-security-policy" not in answer.headers
    assert site.get("nothing").json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert site.http.post(f"{site.url}experiments/1").json()["error_code"] == "ENDPOINT_NOT_FOUND"


def test_without_the_viewer_there_are_no_pages(start_server: StartServer) -> None:
    server = start_server("--no-viewer")
    assert httpx.get(f"{server.url}/").json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert httpx.get(f"{server.url}/components").status_code == 404


def test_a_new_server_says_what_to_do_first(start_server: StartServer) -> None:
    server = start_server()
    document = httpx.get(f"{server.url}/").text
    assert f'mlflow.set_tracking_uri("{server.url}")' in text(document)
    empty = httpx.get(f"{server.url}/experiments/0").text
    assert 'mlflow.set_experiment(experiment_id="0")' in html.unescape(empty)
    assert httpx.get(f"{server.url}/components").status_code == 404
