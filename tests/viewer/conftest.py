"""A server with something to look at, below a path as behind a proxy, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.api_client import Api
from tests.conftest import NewDatabase
from tests.server_process import ServerProcess
from tests.viewer.sample import Sample, log_sample

PREFIX = "/deep/mlflow"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Site:
    """The pages of a server, and what it holds."""

    url: str  # with a slash at its end
    sample: Sample
    http: httpx.Client

    def get(self, path: str, **options: object) -> httpx.Response:
        """The answer at a path of the site, which must be a page, or what else is expected."""
        return self.http.get(self.url + path, **options)  # type: ignore[arg-type]

    def html(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:2000]}"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        return answer.text


@pytest.fixture(scope="session")
def site(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server of the pages' own: what other tests log would stand in its lists."""
    flags = ("--backend-store-uri", new_database(), "--static-prefix", PREFIX, "--viewer-components")
    server = ServerProcess(tmp_path_factory.mktemp("viewer"), *flags)
    try:
        with Api(server.url) as api, httpx.Client(timeout=60) as http:
            yield Site(f"{server.url}/", log_sample(api), http)
        server.check_ends_well()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Not for the whole session: as long as Playwright runs, no other event loop can in this thread."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "the tests of the pages need Debian's package chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@dataclass
class Window:
    """A window of the browser that notes what goes wrong in it."""

    context: BrowserContext
    page: Page
    problems: list[str]
    requests: list[str]
    root: str

    def open(self, path: str) -> Page:
        """Goes to a path of the site."""
        self.page.goto(self.root + path)
        return self.page


@pytest.fixture
def window(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Iterator[Window]:
    """A new window, with options of ``Browser.new_context`` by ``indirect``; scripts and styles must all be let in."""
    options = {"viewport": {"width": 1440, "height": 900}, **getattr(request, "param", {})}
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    opened = Window(context, page, [], [], site.url)
    page.on("console", lambda message: opened.problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: opened.problems.append(str(error)))
    page.on("request", lambda sent: opened.requests.append(sent.url))
    yield opened
    context.close()
    assert opened.problems == []
