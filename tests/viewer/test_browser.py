"""The pages in a browser: keys, looks, sizes, and what the browser lets in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Route

from tests.viewer.conftest import Site, Window

BACKENDS = ["sqlite"]  # what a browser sees does not depend on the database

MAX_REQUESTS = 10
MAX_BYTES = 100_000
AA = 4.5  # the least contrast of text

PAGES: dict[str, Callable[[Site], str]] = {
    "experiments": lambda site: "",
    "runs": lambda site: f"experiments/{site.sample.evaluation}",
    "run": lambda site: f"runs/{site.sample.runs[0]}",
    "comparison": lambda site: f"experiments/{site.sample.evaluation}/compare?runs={','.join(site.sample.runs)}",
    "hostile runs": lambda site: f"experiments/{site.sample.hostile}",
    "hostile run": lambda site: f"runs/{site.sample.hostile_run}",
    "wide run": lambda site: f"runs/{site.sample.wide_run}",
    "many runs": lambda site: f"experiments/{site.sample.many}",
    "nothing": lambda site: f"experiments/{site.sample.empty}",
    "components": lambda site: "components",
}


def window_with(**options: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("window", [options], indirect=True, ids=[",".join(options)])


def runs_page(window: Window, site: Site) -> None:
    window.open(f"experiments/{site.sample.evaluation}")


def focused(window: Window) -> str:
    """The text, or else the id, of what has the focus."""
    text: str = window.page.evaluate("document.activeElement.innerText || document.activeElement.id")
    return text.strip()


def test_pages_take_few_requests_and_few_bytes(window: Window, site: Site) -> None:
    sizes: list[int] = []
    protocol = window.context.new_cdp_session(window.page)
    protocol.send("Network.enable")
    protocol.send("Network.setCacheDisabled", {"cacheDisabled": True})
    protocol.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))  # with the headers
    for name, path in PAGES.items():
        sizes.clear()
        window.requests.clear()
        page = window.open(path(site))
        assert 3 <= len(window.requests) <= MAX_REQUESTS, name
        assert len(sizes) >= 3 and sum(sizes) <= MAX_BYTES, name
        assert page.title() != "owned", name
        assert page.locator("h1").count() == 1, name


@window_with(viewport={"width": 600, "height": 800})
def test_pages_fit_a_narrow_window(window: Window, site: Site) -> None:
    for name, path in PAGES.items():
        page = window.open(path(site))
        assert page.evaluate("document.documentElement.scrollWidth") <= 600, name
        outside = page.evaluate(
            """() => [...document.querySelectorAll("h1, h2, input, button, form, .scroll")].filter((element) =>
                element.checkVisibility() && !element.closest(".scroll table, dialog, .hidden")
                && element.getBoundingClientRect().right > 600).map((element) => element.outerHTML.slice(0, 200))"""
        )
        assert outside == [], name


# The contrast of every text with what is painted behind it. Canvas turns any colour into red, green and blue.
CONTRASTS = """() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parts = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = parts(colour).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (parts(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".none, :disabled")) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.data.trim().slice(0, 60)]);
  }
  return found;
}"""


@pytest.mark.parametrize("path", ["components", "experiments/1"])
def test_every_text_can_be_read_in_light_and_in_dark(window: Window, path: str) -> None:
    page = window.open(path)
    backgrounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        backgrounds.add(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 50
        assert [each for each in contrasts if each[0] < AA] == [], scheme
    assert len(backgrounds) == 2


def test_rows_have_24_pixels(window: Window, site: Site) -> None:
    for path in (f"experiments/{site.sample.evaluation}", f"experiments/{site.sample.hostile}", "search?q=s"):
        page = window.open(path)
        heights = page.eval_on_selector_all("tbody tr", "rows => rows.map((row) => row.offsetHeight)")
        assert heights and set(heights) == {24}, path


def test_a_metric_is_in_view_at_1440_pixels(window: Window, site: Site) -> None:
    runs_page(window, site)
    edges = window.page.eval_on_selector_all(
        "#runs thead th.number", "heads => heads.map((head) => head.getBoundingClientRect().right)"
    )
    assert len(edges) == 5 and max(edges) < 1440


def test_j_and_k_go_through_the_rows_and_enter_opens_one(window: Window, site: Site) -> None:
    runs_page(window, site)
    keyboard = window.page.keyboard
    for key, name in (("j", "large-8"), ("j", "medium-7"), ("j", "small-6"), ("k", "medium-7")):
        keyboard.press(key)
        assert focused(window) == name
    keyboard.press("Enter")
    window.page.wait_for_url("**/runs/*")
    assert window.page.locator("h1").inner_text().startswith("medium-7")


def test_x_selects_rows_and_c_compares_them(window: Window, site: Site) -> None:
    runs_page(window, site)
    button = window.page.locator("#compare button")
    assert button.is_disabled()
    for key in "jxjx":
        window.page.keyboard.press(key)
    assert button.inner_text() == "Compare 2"
    window.page.keyboard.press("c")
    window.page.wait_for_url("**/compare?runs=*&runs=*")
    assert window.page.locator("#metrics-table thead th").all_inner_texts() == ["Metric", "large-8", "medium-7"]
    window.page.go_back()  # what was selected still is
    assert window.page.locator("#compare button").inner_text() == "Compare 2"


def test_keys_lead_to_the_boxes_and_to_help(window: Window, site: Site) -> None:
    runs_page(window, site)
    keyboard = window.page.keyboard
    keyboard.press("/")
    assert window.page.evaluate("document.activeElement.id") == "search"
    keyboard.type("jx?")  # in a box, letters are letters
    assert window.page.input_value("#search") == "jx?"
    keyboard.press("Escape")
    keyboard.press("f")
    assert window.page.evaluate("document.activeElement.id") == "filter"
    keyboard.press("Escape")
    keyboard.press("?")
    assert window.page.locator("dialog").is_visible()
    keyboard.press("Escape")
    assert not window.page.locator("dialog").is_visible()


def test_a_table_is_one_tab_stop_and_arrows_go_on_within(window: Window, site: Site) -> None:
    runs_page(window, site)
    keyboard = window.page.keyboard
    presses = 0
    while focused(window) != "large-8":
        keyboard.press("Tab")
        presses += 1
        assert presses < 12
    keyboard.press("ArrowDown")
    assert focused(window) == "medium-7"
    keyboard.press("ArrowUp")
    keyboard.press("ArrowUp")
    assert focused(window) == "Run"  # the heads, by which one sorts
    keyboard.press("ArrowRight")
    assert focused(window) == "Status"
    keyboard.press("Tab")
    assert focused(window) == "CSV"
    keyboard.press("Shift+Tab")
    assert focused(window) == "Status"


def test_the_first_tab_skips_to_the_content(window: Window, site: Site) -> None:
    page = window.open("")
    page.keyboard.press("Tab")
    assert focused(window) == "Skip to content"
    assert page.locator(".skip").bounding_box()["y"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@window_with(java_script_enabled=False)
def test_everything_works_without_javascript(window: Window, site: Site) -> None:
    page = window.open("")
    page.click("text=qa-assistant")
    page.fill("#filter", "params.model = 'large'")
    page.click("button >> text=Filter")
    assert page.locator("#runs tbody th").all_inner_texts() == ["large-8", "large-5", "large-2"]
    page.click("#runs thead >> text=accuracy")
    assert page.locator("#filter").input_value() == "params.model = 'large'"
    page.locator("summary", has_text="Columns").click()
    page.locator("label", has_text="Source").click()
    page.click("text=Show these")
    assert "evaluate.py" in page.locator("#runs tbody").inner_text()
    for box in page.locator("#runs input").all()[:2]:
        box.check()
    page.click("#compare button")
    assert page.locator("#metrics-table tbody tr").count() == 5
    page.fill("#search", "small-3")
    page.press("#search", "Enter")
    assert page.locator("h1").inner_text().startswith("small-3")
    page.click("text=plots/")
    assert "a b.txt" in page.locator("#artifacts").inner_text()


@window_with(timezone_id="Asia/Tokyo", locale="en-GB")
def test_times_are_in_the_readers_zone_on_hover(window: Window, site: Site) -> None:
    page = window.open(f"runs/{site.sample.runs[0]}")
    time = page.locator("#traces-table time")
    assert time.get_attribute("datetime") == "2026-01-02T03:04:05.678Z"
    assert time.get_attribute("title") == "2 Jan 2026, 12:04:05 GMT+9"


def test_addresses_that_clients_print_lead_to_the_pages(window: Window, site: Site) -> None:
    run_id = site.sample.runs[0]
    page = window.open(f"#/experiments/{site.sample.evaluation}/runs/{run_id}")
    page.wait_for_url(f"**/deep/mlflow/runs/{run_id}")
    page.goto("about:blank")
    window.open(f"#/experiments/{site.sample.evaluation}")
    page.wait_for_url(f"**/deep/mlflow/experiments/{site.sample.evaluation}")


def test_a_long_value_unfolds_in_place(window: Window, site: Site) -> None:
    page = window.open(f"runs/{site.sample.hostile_run}")
    long = page.locator("#params-table details").first
    assert not long.locator("pre").is_visible()
    long.locator("summary").click()
    assert long.locator("pre").inner_text().startswith("pneumono")


def test_the_address_to_paste_is_that_by_which_the_browser_came(window: Window, site: Site) -> None:
    named = site.url.rstrip("/")

    def as_behind_a_proxy(route: Route) -> None:
        answer = route.fetch()
        assert named in answer.text()
        route.fulfill(response=answer, body=answer.text().replace(named, "http://10.0.0.1"))

    window.page.route("**/experiments/*", as_behind_a_proxy)
    page = window.open(f"experiments/{site.sample.empty}?x=/")
    assert f'set_tracking_uri("{named}")' in page.locator(".empty").inner_text()
