"""Who may talk to the server: security headers, Host validation and cross-origin checks, one ASGI layer each.

Flags, variables and defaults are those of `mlflow server`. A Host or an Origin is parsed before it is compared, never
matched as text, so neither `10.evil.example` nor `localhost:80@evil.example` passes for a local address.
"""

import fnmatch
import ipaddress
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("runnel.security")

INVALID_HOST = "Invalid Host header - possible DNS rebinding attack detected"
CROSS_ORIGIN_BLOCKED = "Cross-origin request blocked"
_SET_HOSTS = "to allow a host, set --allowed-hosts or MLFLOW_SERVER_ALLOWED_HOSTS."
_SET_ORIGINS = "to allow an origin, set --cors-allowed-origins or MLFLOW_SERVER_CORS_ALLOWED_ORIGINS."
HEALTH_PATHS = ("/health", "/version", "/ready")
FRAME_OPTIONS = ("SAMEORIGIN", "DENY", "NONE")

#: The hosts allowed without `--allowed-hosts`: this machine and the private networks of RFC 1918 and RFC 4193. DNS can
#: point a name at another machine, never an address.
DEFAULT_ALLOWED_HOSTS = (
    "localhost",
    "127.0.0.0/8",
    "::1",
    "0.0.0.0",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
)

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CORS_METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCALHOST = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: Characters of a Host or Origin: a DNS name has at most 253, the rest is room for a scheme, brackets and a port.
_MAX_LENGTH = 300
#: Judged Host values that are remembered, however many a client invents.
_MAX_JUDGED = 1024

_LABEL = r"[a-z0-9_-]{1,63}"
_AUTHORITY = re.compile(
    rf"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>{_LABEL}(?:\.{_LABEL})*)(?P<root_dot>\.?))(?::(?P<port>[0-9]{{0,5}}))?"
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST_PATTERN = re.compile(r"(?P<host>\[[0-9a-f:.*]+\]|[a-z0-9_.*-]+)(?::(?P<port>[0-9*]+))?")
_ORIGIN_PATTERN = re.compile(rf"(?:(?P<scheme>[a-z*][a-z0-9+.*-]*)://)?{_HOST_PATTERN.pattern}")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Subject = TypeVar("_Subject")


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """What the layers let through."""

    allowed_hosts: tuple[str, ...] | None  #: None: `DEFAULT_ALLOWED_HOSTS`; a "*" among them allows every host
    cors_allowed_origins: tuple[str, ...]  #: besides localhost; a "*" among them allows all, without credentials
    x_frame_options: str  #: one of `FRAME_OPTIONS`, in any case; NONE sends no header
    enabled: bool = True
    static_prefix: str = ""  #: health paths answer with it and without it


def secure(app: ASGIApp, settings: SecuritySettings) -> ASGIApp:
    """Wrap `app` in the layers, outermost first: headers, Host, CORS. ValueError names the flag of a wrong setting."""
    if not settings.enabled:
        return app
    hosts = AllowedHosts(settings.allowed_hosts or DEFAULT_ALLOWED_HOSTS)
    origins = AllowedOrigins(settings.cors_allowed_origins)
    if not origins.everything:
        app = CrossOriginLayer(app, origins, hosts)
    app = CorsLayer(app, origins)
    if not hosts.everything:
        app = HostLayer(app, hosts, settings.static_prefix)
    return HeadersLayer(app, settings.x_frame_options)


@dataclass(frozen=True, slots=True)
class Authority:
    """A parsed `host[:port]`: the host in lower case, an IPv6 address compressed and in brackets."""

    host: str
    port: int | None
    address: _Address | None


def parse_authority(text: str, *, root_dot: bool = False) -> Authority | None:
    """Parse `name[:port]` or `[v6][:port]`; None for anything else (user info, a path, spaces, a port above 65535).

    With `root_dot` a name may end in the dot of the DNS root, which is dropped.
    """
    match = _AUTHORITY.fullmatch(text.lower()) if len(text) <= _MAX_LENGTH else None
    if match is None or (match["root_dot"] and not root_dot):
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        return None
    address = _address(match["v6"] or match["name"])
    if match["v6"] is None:
        return Authority(match["name"], port, address)
    return Authority(f"[{address}]", port, address) if isinstance(address, ipaddress.IPv6Address) else None


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Origin:
    """A parsed Origin header; the port is the scheme's own where the header names none."""

    scheme: str
    authority: Authority
    port: int | None


def parse_origin(text: str) -> Origin | None:
    """Parse `scheme://host[:port]` as browsers write it, in lower case; None for anything else, such as "null"."""
    scheme, _, rest = text.partition("://")
    authority = parse_authority(rest) if _SCHEME.fullmatch(scheme) else None
    if authority is None or rest != rest.lower() or rest.endswith(":"):
        return None
    return Origin(scheme, authority, _DEFAULT_PORTS.get(scheme) if authority.port is None else authority.port)


class AllowedHosts:
    """The patterns of `--allowed-hosts`: host, host:port, a wildcard (`*.example.com`, `192.168.*`) or a network.

    A pattern without a port allows every port. A wildcard of digits and dots means addresses, never names.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.everything = "*" in map(str.strip, patterns)
        self._rules = _rules("--allowed-hosts (MLFLOW_SERVER_ALLOWED_HOSTS)", patterns, _host_rule)
        self._judge = lru_cache(maxsize=_MAX_JUDGED)(self._parse_and_match)

    def of(self, scope: Scope) -> Authority | None:
        """The request's Host if a pattern other than "*" names it; None also when it is missing, repeated or wrong."""
        values = [value for name, value in scope["headers"] if name == b"host"]
        return self._judge(values[0]) if len(values) == 1 and len(values[0]) <= _MAX_LENGTH else None

    def _parse_and_match(self, header: bytes) -> Authority | None:
        authority = parse_authority(header.decode("latin-1"), root_dot=True)
        return authority if authority is not None and any(allows(authority) for allows in self._rules) else None


class AllowedOrigins:
    """Localhost, and the patterns of `--cors-allowed-origins`; one without a port allows the scheme's own port.

    As on MLflow's server, where a wildcard runs over the whole text, a `*` at the end covers any port and one at the
    start any scheme.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.everything = "*" in map(str.strip, patterns)
        self._rules = _rules("--cors-allowed-origins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS)", patterns, _origin_rule)

    def allow(self, origin: Origin) -> bool:
        """Whether the origin is localhost over http or https, on any port, or matches a pattern."""
        if origin.authority.host in _LOCALHOST and origin.scheme in _DEFAULT_PORTS:
            return True
        return any(allows(origin) for allows in self._rules)


def _rules(
    flag: str, patterns: tuple[str, ...], rule: Callable[[str], Callable[[_Subject], bool]]
) -> list[Callable[[_Subject], bool]]:
    rules = []
    for pattern in (pattern.strip().lower() for pattern in patterns):
        if pattern in ("", "*"):
            continue
        try:
            rules.append(rule(pattern))
        except ValueError as error:
            raise ValueError(f"{flag}: {pattern!r} {error}") from None
    return rules


def _host_rule(pattern: str) -> Callable[[Authority], bool]:
    if network := _network(pattern):
        return lambda authority: authority.address is not None and authority.address in network
    match = _HOST_PATTERN.fullmatch(pattern)
    if match is None:
        raise ValueError("is not a host, host:port, wildcard (*.example.com, 192.168.*) or network (10.0.0.0/8)")
    allows_name, allows_port = _name_rule(match["host"]), _glob(match["port"] or "*")
    return lambda it: allows_name(it) and allows_port(str(it.port))  # "None" where no port is named: `*` covers it.


def _origin_rule(pattern: str) -> Callable[[Origin], bool]:
    match = _ORIGIN_PATTERN.fullmatch(pattern)
    if match is None or not (match["scheme"] or pattern.startswith("*")):
        raise ValueError("is not an origin such as https://app.example.com or https://*.example.com:8443")
    allows_scheme, allows_name = _glob(match["scheme"] or "*"), _name_rule(match["host"])
    own_port_only = match["port"] is None and not pattern.endswith("*")
    allows_port = _glob(match["port"] or "*")
    return lambda it: (
        allows_scheme(it.scheme)
        and allows_name(it.authority)
        and (it.port == _DEFAULT_PORTS.get(it.scheme) if own_port_only else allows_port(str(it.port)))
    )


def _name_rule(host: str) -> Callable[[Authority], bool]:
    if network := _network(host.strip("[]")):
        return lambda authority: authority.address is not None and authority.address in network
    if not any(character.isalnum() for character in host):
        raise ValueError("names no host; only '*' alone allows everything")
    allows = _glob(host.removesuffix("."))
    addresses_only = set(host) <= set("0123456789.*")
    return lambda authority: allows(authority.host) and (authority.address is not None or not addresses_only)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _glob(pattern: str) -> Callable[[str], bool]:
    """A match of the whole text in which `*` alone is special (the patterns let no `?` through)."""
    compiled = re.compile(fnmatch.translate(pattern.replace("[", "[[]")))
    return lambda text: compiled.match(text) is not None


class HeadersLayer:
    """Adds `X-Content-Type-Options` and `X-Frame-Options` to every answer, in place of the app's own."""

    def __init__(self, app: ASGIApp, x_frame_options: str) -> None:
        frame = x_frame_options.upper()
        if frame not in FRAME_OPTIONS:
            raise ValueError(
                f"--x-frame-options (MLFLOW_SERVER_X_FRAME_OPTIONS): {x_frame_options!r} is none of "
                + ", ".join(FRAME_OPTIONS)
            )
        self._app = app
        self._headers = [(b"x-content-type-options", b"nosniff")]
        if frame != "NONE":
            self._headers.append((b"x-frame-options", frame.encode()))
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [header for header in message.get("headers", ()) if header[0].lower() not in self._names]
                message = {**message, "headers": others + self._headers}
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HostLayer:
    """Refuses a request whose Host is not allowed (DNS rebinding); a health check is answered under any Host."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, static_prefix: str) -> None:
        self._app = app
        self._hosts = hosts
        self._exempt = frozenset(prefix + path for prefix in ("", static_prefix.rstrip("/")) for path in HEALTH_PATHS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._hosts.of(scope) is not None or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        reason = f"{INVALID_HOST}: {_named(scope, 'Host')} is not allowed; {_SET_HOSTS}"
        await _refusal(scope, reason)(scope, receive, send)


class CorsLayer(CORSMiddleware):
    """Answers preflights and marks answers readable by allowed origins, with credentials unless all are allowed.

    The answers are Starlette's, as on MLflow's server (200, or 400 for a foreign origin); the judgement is ours.
    """

    def __init__(self, app: ASGIApp, origins: AllowedOrigins) -> None:
        super().__init__(
            app,
            allow_origins=("*",) if origins.everything else (),
            allow_credentials=not origins.everything,
            allow_methods=("*",) if origins.everything else _CORS_METHODS,
            allow_headers=("*",),
            expose_headers=("*",),
        )
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS" or self._reads(scope):
            await super().__call__(scope, receive, send)
            return

        # No origin or a foreign one: nothing to add but Vary, which not every version of Starlette adds here.
        async def send_with_vary(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"vary", b"Origin")]}
            await send(message)

        await self.app(scope, receive, send_with_vary)

    def _reads(self, scope: Scope) -> bool:
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        return origin is not None and self.is_allowed_origin(origin.decode("latin-1"))

    def is_allowed_origin(self, origin: str) -> bool:
        parsed = parse_origin(origin)
        return self._origins.everything or (parsed is not None and self._origins.allow(parsed))

    def preflight_response(self, request_headers: Headers) -> Response:
        origin = request_headers["origin"]
        if not self.is_allowed_origin(origin):
            # The browser never sends the request itself, so this line is all that the operator gets to see.
            _log.warning("Refused a preflight: Origin '%s' is not allowed; %s", _shown(origin), _SET_ORIGINS)
        return super().preflight_response(request_headers)


class CrossOriginLayer:
    """Refuses a request that may change something and comes from a page of a foreign origin, on every path.

    A page of this server's own is not foreign: its Origin is the Host, and the Host one that a pattern names. Under
    `--allowed-hosts '*'` none is, and no page counts as own: a name rebound to this server would look the same.
    """

    def __init__(self, app: ASGIApp, origins: AllowedOrigins, hosts: AllowedHosts) -> None:
        self._app = app
        self._origins = origins
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _SAFE_METHODS or self._allows(scope):
            await self._app(scope, receive, send)
            return
        reason = f"{CROSS_ORIGIN_BLOCKED}: {_named(scope, 'Origin')} is not allowed; {_SET_ORIGINS}"
        await _refusal(scope, reason)(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        # An empty Origin comes from a proxy that blanks it, never from a browser; MLflow's server ignores it as well.
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin" and value]
        if not values:
            return True
        origin = parse_origin(values[0]) if len(values) == 1 else None
        return origin is not None and (self._origins.allow(origin) or self._is_own(origin, scope))

    def _is_own(self, origin: Origin, scope: Scope) -> bool:
        host = self._hosts.of(scope)
        own_port = _DEFAULT_PORTS.get(origin.scheme)  # The scheme is the page's: a proxy may have ended its TLS.
        if host is None or own_port is None or host.host != origin.authority.host:
            return False
        return origin.port == (own_port if host.port is None else host.port)


def _refusal(scope: Scope, reason: str) -> Response:
    _log.warning("Refused %s %s: %s", _shown(scope["method"]), _shown(scope["path"]), reason)
    return JSONResponse({"error_code": "PERMISSION_DENIED", "message": reason}, 403)


def _named(scope: Scope, header: str) -> str:
    values = [value for name, value in scope["headers"] if name == header.lower().encode()]
    if len(values) == 1:
        return f"{header} '{_shown(values[0].decode('latin-1'))}'"
    return f"more than one {header}" if values else f"a request without {header}"


def _shown(text: str) -> str:
    """At most 100 printable ASCII characters of what a client sent, for a message or a line of the log."""
    printable = "".join(character for character in text[:200] if character.isprintable())
    shown = printable.encode("ascii", "backslashreplace").decode("ascii")
    return shown if len(shown) <= 100 else shown[:97] + "..."
