"""The pages as an ASGI layer before the API: what is no page's address goes on to the API."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runnel.api.services import Services
from runnel.domain.errors import MlflowError, TemporarilyUnavailable
from runnel.viewer.assets import accepts_gzip, asset_response
from runnel.viewer.pages import Page, PageRequest, PageRoute
from runnel.viewer.tables import Table

logger = logging.getLogger("runnel")

# Nothing from elsewhere, no inline script or style: what a client logged can never be more than text.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}
MIN_COMPRESSED_BYTES = 1_000
STATIC = "/static/"
_API_PATHS = ("/api/", "/ajax-api/", "/v1/")


class Viewer:
    """Answers GET and HEAD at the addresses of pages, their twins and their files."""

    def __init__(self, app: ASGIApp, pages: Iterable[PageRoute], services: Services) -> None:
        self._app = app
        self._pages = list(pages)
        self._services = services
        self._prefix = services.settings.static_prefix
        # The first segments of the addresses that are ours, also where nothing is found there.
        self._own = {route.path.split("/")[1] for route in self._pages} | {"static"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(_API_PATHS) or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if self._prefix and (path == self._prefix or path.startswith(f"{self._prefix}/")):
            path = path[len(self._prefix) :]
        if path == "":  # the prefix without a slash, from where relative addresses would lead astray
            await self._redirect(f"{self._prefix.rpartition('/')[2]}/")(scope, receive, send)
            return
        first = path.split("/", 2)[1]
        if first.partition(".")[0] not in self._own:
            await self._app(scope, receive, send)
            return
        try:
            response = await self._answer(path, scope)
        except asyncio.CancelledError:  # the server stops, and has waited for this request as long as it does
            response = Response("The server is shutting down", 503)
        await response(scope, receive, send)

    @staticmethod
    def _redirect(location: str) -> Response:
        return Response(status_code=303, headers={**HEADERS, "Location": location})

    async def _answer(self, path: str, scope: Scope) -> Response:
        if path.startswith(STATIC):
            scope["runnel.route"] = STATIC
            found = asset_response(path[len(STATIC) :], scope)
            if found is not None:
                return found
        query_string: str = scope["query_string"].decode("latin-1")
        shown_as = "html"
        request = None
        try:
            route, values, shown_as, table = self._find(path)
            page_path = path if shown_as == "html" else path.rpartition(".")[0]
            request = PageRequest(self._services, page_path, values, query_string, shown_as != "html")
            if route is None:
                return await self._page(_not_found(path), request, shown_as, "", scope)
            scope["runnel.route"] = route.path
            page = await route.function(request)
            if shown_as == "csv" and not page.error and (table not in page.tables if table else not page.tables):
                page = _not_found(path)
            return await self._page(page, request, shown_as, table, scope)
        except MlflowError as error:
            page = Page(_TITLES.get(error.http_status, "That did not work"), "error.html", {}, error=error.message)
            page = _with_status(page, error.http_status)
        except Exception:
            logger.exception("Request %s %s failed", scope["method"], scope["path"])
            request_id = scope.get("runnel.request_id", "")
            message = f"The server failed to make this page (request id {request_id}). Its log says why."
            page = _with_status(Page("The server failed", "error.html", {}, error=message), 500)
        request = request or PageRequest(self._services, path, {}, "")
        response = await self._page(page, request, shown_as, "", scope)
        if page.status == TemporarilyUnavailable.http_status:
            response.headers["Retry-After"] = "1"
        return response

    def _find(self, path: str) -> tuple[PageRoute | None, dict[str, str], str, str]:
        """The page of a path, the values in it, the form asked for (html, json, csv), and the table, for CSV."""
        for form, ending in (("json", ".json"), ("csv", ".csv"), ("html", "")):
            if not path.endswith(ending):
                continue
            bare = path.removesuffix(ending)
            candidates = [(bare, "")]
            if form == "csv" and "/" in bare:
                # /runs/<id>.csv is the first table of that page, /runs/<id>/params.csv another.
                candidates.append(tuple(bare.rsplit("/", 1)))  # type: ignore[arg-type]
            for page_path, table in candidates:
                for route in self._pages:
                    match = route.pattern.fullmatch(page_path)
                    if match is not None:
                        return route, match.groupdict(), form, table
        return None, {}, "html", ""

    async def _page(self, page: Page, request: PageRequest, shown_as: str, table: str, scope: Scope) -> Response:
        if page.redirect:
            depth = request.path.count("/") - 1
            return self._redirect("../" * depth + page.redirect)
        headers = {name: value for name, value in scope["headers"] if name in (b"accept-encoding", b"host")}
        compresses = accepts_gzip(headers.get(b"accept-encoding", b""))
        origin = f"{scope['scheme']}://{headers.get(b'host', b'').decode('latin-1')}{self._prefix}"
        # Making a page takes milliseconds, in which other requests go on.
        body, media_type, is_compressed = await asyncio.to_thread(
            _body, page, request, shown_as, table, origin, compresses
        )
        extra = {"Content-Encoding": "gzip"} if is_compressed else {}
        return Response(body, page.status, {**HEADERS, **extra}, media_type)


def _body(
    page: Page, request: PageRequest, shown_as: str, table: str, origin: str, compresses: bool
) -> tuple[bytes, str, bool]:
    """The body of an answer, its media type, and whether it is compressed."""
    body, media_type = _content(page, request, shown_as, table, origin)
    if compresses and len(body) >= MIN_COMPRESSED_BYTES:
        return gzip.compress(body, 6, mtime=0), media_type, True
    return body, media_type, False


def _content(page: Page, request: PageRequest, shown_as: str, table: str, origin: str) -> tuple[bytes, str]:
    from runnel.viewer.rendering import to_html, to_json

    if shown_as == "json":
        return to_json(page), "application/json"
    if shown_as == "csv" and not page.error:
        return _table(page, table).to_csv().encode(), "text/csv; charset=utf-8"
    return to_html(page, request, origin).encode("utf-8", "replace"), "text/html; charset=utf-8"


def _table(page: Page, name: str) -> Table:
    return page.tables[name] if name else next(iter(page.tables.values()))


_TITLES = {400: "That cannot be asked for", 404: "Nothing here", 503: "Not now"}


def _with_status(page: Page, status: int) -> Page:
    return Page(page.title, page.template, page.data, error=page.error, status=status)


def _not_found(path: str) -> Page:
    return Page("Nothing here", "error.html", {}, error=f"There is no page at {path[:200]}.", status=404)
