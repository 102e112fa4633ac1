"""Dispatch: from a request to an endpoint function and back to a response.

A ``query`` runs in a read transaction and a ``command`` in a write transaction; both are plain functions that run in
the database's threads. An async endpoint (uploads, downloads, what needs both database and artifacts) gets the
services instead and opens transactions itself; it may ask for the request, and then reads the body itself too.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runnel.api.answers import SMALL_BYTES, JsonAnswer, write_answer
from runnel.api.services import Services
from runnel.api.wire import RequestParser, parse_json_object, refuse_nul
from runnel.config import Settings
from runnel.domain.errors import (
    EndpointNotFound,
    InternalError,
    InvalidParameterValue,
    MethodNotAllowed,
    MlflowError,
    RequestTooLarge,
    TemporarilyUnavailable,
)
from runnel.store.statements import Transaction

logger = logging.getLogger("runnel")

# What a parameter of an endpoint function may be, beside a field of the request.
GIVEN_TYPES = (Transaction, Settings, Services, Request)
# Where every path of the API answers: for programs, and for pages in a browser (MLflow's own split).
MOUNTS = ("/api", "/ajax-api")
RETRY_AFTER_SECONDS = b"1"
# A short JSON value can take 30 times its length in memory, so their number is bounded beside the size of a body.
MAX_JSON_VALUES = 1_000_000

# A longer command has work enough for a transaction of its own, beside others on a connection of its own.
MAX_GROUPED_BYTES = 2_048

_PATH_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")


@dataclass(frozen=True)
class Endpoint:
    """One line of the route table."""

    kind: Literal["query", "command"]
    method: str
    path: str  # below /api and /ajax-api, or a whole path when it begins with "//" less one slash
    function: Callable[..., Any]
    parser: RequestParser
    is_async: bool
    bare: bool = False  # answers at this very path, not below the mounts
    # Short and frequent: such commands may share a transaction, in the order of their runs, and none of them reads what
    # another one writes later (see ``Transaction.write_later``).
    grouped: bool = False
    # Tells by the arguments whether a query may have to look at every row; of those, few run at a time.
    may_scan: Callable[..., bool] | None = None

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def takes_json(self) -> bool:
        """Whether the dispatcher reads the body: it is left to a function that asks for the ``Request``."""
        return Request not in self.parser.given.values()

    @property
    def public_paths(self) -> list[str]:
        return [self.path] if self.bare else [mount + self.path for mount in MOUNTS]


def _endpoint(
    kind: Literal["query", "command"], method: str, path: str, function: Any, bare: bool, **more: Any
) -> Endpoint:
    parser = RequestParser(function, GIVEN_TYPES)
    return Endpoint(kind, method, path, function, parser, inspect.iscoroutinefunction(function), bare, **more)


def query(
    method: str,
    path: str,
    function: Callable[..., Any],
    *,
    bare: bool = False,
    may_scan: Callable[..., bool] | None = None,
) -> Endpoint:
    """An endpoint that only reads. ``bare``: it answers at this path itself, not below /api and /ajax-api.

    ``may_scan`` is given the arguments of the function, and tells whether it may have to look at every row.
    """
    return _endpoint("query", method, path, function, bare, may_scan=may_scan)


def command(
    method: str, path: str, function: Callable[..., Any], *, bare: bool = False, grouped: bool = False
) -> Endpoint:
    """An endpoint that writes. ``grouped``: it is short and frequent, and may share its transaction with others."""
    return _endpoint("command", method, path, function, bare, grouped=grouped)


class Router:
    """Finds the endpoint of a method and path: by a dictionary, or by pattern for paths with parameters."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._patterns: dict[str, list[tuple[re.Pattern[str], Endpoint]]] = {}
        for endpoint in endpoints:
            for path in endpoint.public_paths:
                if "{" in path:
                    self._patterns.setdefault(endpoint.method, []).append((_pattern(path), endpoint))
                elif self._exact.setdefault((endpoint.method, path), endpoint) is not endpoint:
                    raise AssertionError(f"two endpoints for {endpoint.method} {path}")
        self._methods = {method for method, _ in self._exact} | set(self._patterns)

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """The endpoint and the values in the path; HEAD is answered as GET."""
        method = "GET" if method == "HEAD" else method
        found = self._find(method, path)
        if found is not None:
            return found
        allowed = sorted(other for other in self._methods if self._find(other, path) is not None)
        if allowed:
            raise MethodNotAllowed(
                f"Method {method} is not allowed for {path[:500]}; allowed: {', '.join(allowed)}", tuple(allowed)
            )
        raise EndpointNotFound(f"No endpoint for {method} {path[:500]}")

    def _find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]] | None:
        endpoint = self._exact.get((method, path))
        if endpoint is not None:
            return endpoint, {}
        for pattern, candidate in self._patterns.get(method, ()):
            match = pattern.fullmatch(path)
            if match is not None:
                return candidate, match.groupdict()
        return None


def _pattern(path: str) -> re.Pattern[str]:
    expression = ""
    position = 0
    for match in _PATH_PARAMETER.finditer(path):
        expression += re.escape(path[position : match.start()])
        expression += f"(?P<{match[1]}>{'.+' if match[2] else '[^/]+'})"
        position = match.end()
    return re.compile(expression + re.escape(path[position:]), re.DOTALL)


class Dispatcher:
    """The ASGI application of the API."""

    def __init__(self, endpoints: Iterable[Endpoint], services: Services) -> None:
        self._router = Router(endpoints)
        self._services = services
        self._prefix = services.settings.static_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the server stops, and has waited for this request as long as it does
            await send_error(send, TemporarilyUnavailable("The server is shutting down"))
            return
        except MlflowError as error:
            await send_error(send, error)
            return
        except Exception:
            logger.exception("Request %s %s failed", scope["method"], scope["path"])
            request_id = scope.get("runnel.request_id", "")
            message = f"The server failed to answer (request id {request_id}). Its log says why."
            await send_error(send, InternalError(message))
            return
        if isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        try:
            with self._services.answers.hold(answer.length):
                await _send_json(send, 200, answer)
        except TemporarilyUnavailable as error:
            await send_error(send, error)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | JsonAnswer:
        path: str = scope["path"]
        if self._prefix and path.startswith(f"{self._prefix}/"):
            path = path[len(self._prefix) :]
        endpoint, path_values = self._router.find(scope["method"], path)
        scope["runnel.route"] = endpoint.path
        parser = endpoint.parser
        values: dict[str, Any] = {}
        body = b""
        if scope["query_string"]:
            values = parse_query(scope["query_string"], parser.lists)
        if path_values:
            values |= path_values
            refuse_nul(path_values)
        if endpoint.takes_json:
            body = await self._read_body(scope, receive)
            if body or scope["method"] in ("POST", "PUT"):
                _check_content_type(scope)
                fields = parse_json_object(body)
                values = fields | values if values else fields
        arguments = parser.parse(values)
        if endpoint.is_async:
            for name, type_ in parser.given.items():
                arguments[name] = Request(scope, receive) if type_ is Request else self._services
            answer = await endpoint.function(**arguments)
            return answer if isinstance(answer, Response) else write_answer(answer)
        for name, type_ in parser.given.items():
            if type_ is Settings:
                arguments[name] = self._services.settings
        database = self._services.database
        if endpoint.kind == "query":
            may_scan = endpoint.may_scan is not None and endpoint.may_scan(**arguments)
            query = partial(_write_answer_of, endpoint.function, arguments)
            return await database.read(query, may_scan=may_scan)
        call = partial(endpoint.function, **arguments)
        is_short = endpoint.grouped and len(body) <= MAX_GROUPED_BYTES
        return write_answer(await database.write(call, arguments.get("run_id", "") if is_short else None))

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        bodies = self._services.bodies
        bodies.check_announced_length(scope["headers"])
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            with bodies.hold() as held:
                return await held.read(receive, body, JsonValueCount().add)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        bodies.check_length(len(body))
        return body


def _write_answer_of(function: Callable[..., Any], arguments: dict[str, Any], tx: Transaction) -> JsonAnswer:
    return write_answer(function(tx, **arguments))


class JsonValueCount:
    """About how many JSON values a body holds, by the characters before them."""

    def __init__(self) -> None:
        self._values = 0

    def add(self, chunk: bytes) -> None:
        """Counts a part of the body; raises RequestTooLarge when there are too many."""
        self._values += chunk.count(b",") + chunk.count(b"[") + chunk.count(b"{")
        if self._values > MAX_JSON_VALUES:
            raise RequestTooLarge(f"The request body holds more than {MAX_JSON_VALUES} JSON values")


def parse_query(query_string: bytes, lists: set[str]) -> dict[str, Any]:
    """The fields in a query string; those in ``lists`` may repeat, of the others the first counts."""
    values: dict[str, Any] = {}
    try:
        pairs = urllib.parse.parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=20_000)
    except ValueError:
        raise InvalidParameterValue("The query string has more than 20,000 fields") from None
    for key, value in pairs:
        if key in lists:
            values.setdefault(key, []).append(value)
        else:
            values.setdefault(key, value)
    if b"%00" in query_string:
        refuse_nul(values)
    return values


def _check_content_type(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value.split(b";", 1)[0].strip().lower() == b"application/json":
                return
            raise InvalidParameterValue("Bad Request. Content-Type must be one of ['application/json'].")
    raise InvalidParameterValue("Bad Request. Content-Type header is missing.")


async def _send_json(send: Send, status: int, answer: JsonAnswer, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    start = {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % answer.length), *headers],
    }
    await send(start)
    if answer.length <= SMALL_BYTES:
        await send({"type": "http.response.body", "body": answer.pieces[0]})
        return
    answer.pieces.reverse()
    while answer.pieces:  # what has been sent is let go of
        await send({"type": "http.response.body", "body": answer.pieces.pop(), "more_body": True})
    await send({"type": "http.response.body"})  # waits until the client has taken most of it


async def send_error(send: Send, error: MlflowError) -> None:
    """Answers with an error in MLflow's shape."""
    headers: list[tuple[bytes, bytes]] = []
    match error:
        case MethodNotAllowed():
            headers.append((b"allow", ", ".join(error.allowed).encode()))
        case TemporarilyUnavailable():
            headers.append((b"retry-after", RETRY_AFTER_SECONDS))
    answer = write_answer({"error_code": error.error_code, "message": _encodable(error.message)})
    await _send_json(send, error.http_status, answer, headers)


def _encodable(text: str) -> str:
    # A message may quote a client's text with lone surrogates, which JSON in UTF-8 cannot hold.
    return text.encode("utf-8", "replace").decode()
