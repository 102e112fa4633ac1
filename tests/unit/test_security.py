import asyncio
import json
import logging
from dataclasses import dataclass

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runnel.security import DEFAULT_ALLOWED_HOSTS, AllowedHosts, SecuritySettings, secure

DEFAULTS = SecuritySettings(allowed_hosts=None, cors_allowed_origins=(), x_frame_options="SAMEORIGIN")
LOCAL = ("Host", "localhost:5000")
STATE_CHANGING = ["POST", "PUT", "PATCH", "DELETE"]


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name]
        return ", ".join(values) if values else None

    @property
    def message(self) -> str:
        error = json.loads(self.body)
        assert (self.status, error["error_code"]) == (403, "PERMISSION_DENIED")
        return str(error["message"])


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"X-Frame-Options", b"ALLOWALL")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"reached"})


def request(
    settings: SecuritySettings,
    *headers: tuple[str, str],
    method: str = "GET",
    path: str = "/api/2.0/mlflow/runs/create",
    app: ASGIApp = inner,
) -> Answer:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(secure(app, settings)(scope, receive, send))
    start, body = sent
    return Answer(start["status"], [(name.decode(), value.decode()) for name, value in start["headers"]], body["body"])


def hosts(*patterns: str) -> SecuritySettings:
    return SecuritySettings(patterns, (), "SAMEORIGIN")


def origins(*patterns: str) -> SecuritySettings:
    return SecuritySettings(None, patterns, "SAMEORIGIN")


LOCAL_HOSTS = [
    "localhost", "LocalHost:5000", "localhost.", "localhost.:5000", "localhost:", "127.0.0.1:5000", "127.8.8.8",
    "0.0.0.0:5000", "[::1]", "[::1]:5000", "[0:0:0:0:0:0:0:1]", "10.1.2.3:80", "172.16.0.1", "172.31.255.255:5000",
    "192.168.1.5:65535", "[fd12:3456::1]:5000",
]  # fmt: skip

HOSTILE_HOSTS = [
    "10.evil.example", "192.168.evil.example:5000", "172.16.0.1.evil.example", "127.0.0.1.evil.example",
    "localhost.evil.example", "localhost:80@evil.example", "localhost@evil.example", "user:password@localhost",
    "fd00:80@evil.example", "[::1]:80@evil.example", "[::1]evil.example", "[::1", "[::1%25eth0]", "::1",
    "[localhost]", "[127.0.0.1]", "127.1", "10.1", "0x7f000001", "172.32.0.1", "8.8.8.8", "169.254.169.254",
    "[fe80::1]", "[::ffff:8.8.8.8]", "evil.example", "localhost:99999", "localhost:5000x", "localhost:-1",
    "localhost:²", "localhost/", "localhost#", "localhost evil.example", "localhost, evil.example", " localhost",
    "localhost\n", "localhost\x00", "localhost..", ".localhost", "loc%61lhost", "löcalhost", "a" * 64 + ".example",
    "a." * 5000 + "localhost", "",
]  # fmt: skip


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_local_and_private_hosts_are_allowed_without_configuration(host: str) -> None:
    assert request(DEFAULTS, ("Host", host)).body == b"reached"


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_a_host_that_is_foreign_or_malformed_is_refused(host: str) -> None:
    assert "possible DNS rebinding attack" in request(DEFAULTS, ("Host", host)).message


def test_a_request_with_no_host_or_with_two_is_refused() -> None:
    assert "a request without Host" in request(DEFAULTS).message
    assert "more than one Host" in request(DEFAULTS, ("Host", "localhost"), ("Host", "localhost")).message


def test_the_refusal_names_the_host_and_what_to_set() -> None:
    answer = request(DEFAULTS, ("Host", "mlflow.example.com:5000"))
    assert answer.header("content-type") == "application/json"
    assert answer.message == (
        "Invalid Host header - possible DNS rebinding attack detected: Host 'mlflow.example.com:5000' is not allowed; "
        "to allow a host, set --allowed-hosts or MLFLOW_SERVER_ALLOWED_HOSTS."
    )


@pytest.mark.parametrize(
    ("header", "value", "shown"),
    [
        ("Host", "evil\r\n\x1b[31m\x85.example", "'evil[31m.example'"),
        ("Host", "\xe9vil.example", r"'\xe9vil.example'"),
        ("Host", "a." * 5000, "'" + ("a." * 49)[:97] + "...'"),
        ("Origin", "http://evil\n.example", "'http://evil.example'"),
    ],
)
def test_what_a_client_sent_is_shown_short_and_without_control_characters(
    header: str, value: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [(header, value)] if header == "Host" else [LOCAL, (header, value)]
    answer = request(DEFAULTS, *headers, method="POST", path="/a\nb\x1b")
    (record,) = caplog.records
    assert shown in answer.message
    assert (record.name, record.levelno) == ("runnel.security", logging.WARNING)
    assert shown in record.getMessage() and "POST /ab: " in record.getMessage()
    assert record.getMessage().isprintable()


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("ml.example.com", ["ml.example.com", "ML.Example.com.:5000"], ["example.com", "xml.example.com"]),
        ("ML.Example.com.", ["ml.example.com"], ["mlflow.example.org"]),
        (" mlflow ", ["mlflow:5000"], ["mlflow.evil.example"]),
        ("my_service", ["my_service:5000"], ["my-service"]),
        ("mlflow:5000", ["mlflow:5000", "mlflow:05000"], ["mlflow", "mlflow:5001", "mlflow:5000@evil.example"]),
        ("mlflow:*", ["mlflow:1", "mlflow"], ["mlflow.evil.example:1", "mlflow:80@evil.example"]),
        ("mlflow:50*", ["mlflow:5000", "mlflow:50"], ["mlflow:4050", "mlflow"]),
        ("*.example.com", ["a.example.com", "b.A.example.com:5000"], ["example.com", "aexample.com"]),
        ("*.example.com", [], ["evil.example?.example.com", "evil.example/.example.com", "a.example.com.evil.example"]),
        ("*.example.com", [], ["a." * 200 + "example.com", "\xe9.example.com"]),
        ("*.example.com:50", ["a.example.com:50"], ["a.example.com", "a.example.com:51", "evil:1#.example.com:50"]),
        ("app-*.internal", ["app-1.internal"], ["app.internal", "app-1xinternal"]),
        ("192.168.*", ["192.168.1.5", "192.168.1.5:5000"], ["192.168.evil.example", "192.168.1", "192.169.1.5"]),
        ("10.*.5:5000", ["10.1.2.5:5000"], ["10.1.2.5", "10.evil.5:5000"]),
        ("10.0.0.5", ["10.0.0.5:5000"], ["10.0.0.50", "10.0.0.6", "localhost"]),
        ("10.0.0.5:5000", ["10.0.0.5:5000"], ["10.0.0.5:5001", "10.0.0.5"]),
        ("203.0.113.0/24", ["203.0.113.9:5000"], ["203.0.114.1", "203.0.113.evil.example"]),
        ("[2001:DB8::1]:5000", ["[2001:db8:0::1]:5000"], ["[2001:db8::1]", "[2001:db8::2]:5000"]),
        ("2001:db8::1", ["[2001:db8::1]", "[2001:db8::1]:5000"], ["2001:db8::1", "[2001:db8::2]"]),
        ("[2001:db8:*]", ["[2001:db8::5]:5000"], ["[2001:db9::5]", "2001.evil.example"]),
    ],
)
def test_a_pattern_allows_what_it_names_and_nothing_else(pattern: str, allowed: list[str], refused: list[str]) -> None:
    assert [host for host in allowed if request(hosts(pattern), ("Host", host)).status != 200] == []
    assert [host for host in refused if request(hosts(pattern), ("Host", host)).status != 403] == []


def test_one_of_several_patterns_is_enough_and_blank_ones_count_for_nothing() -> None:
    settings = hosts(*DEFAULT_ALLOWED_HOSTS, "", "mlflow.example.com")
    assert request(settings, ("Host", "mlflow.example.com")).status == 200
    assert request(settings, ("Host", "10.0.0.1:5000")).status == 200
    assert request(settings, ("Host", "")).status == 403


def test_a_star_allows_every_host_and_a_request_without_one() -> None:
    assert request(hosts(" * "), ("Host", "evil.example")).body == request(hosts("a", "*")).body == b"reached"


@pytest.mark.parametrize("pattern", ["https://a.example.com", "a.example.com/", "*:5000", "*.*", "a b", "[?]"])
def test_a_host_pattern_that_names_no_host_stops_the_start(pattern: str) -> None:
    with pytest.raises(
        ValueError, match=r"--allowed-hosts \(MLFLOW_SERVER_ALLOWED_HOSTS\): '.*' (is not a|names no) h"
    ):
        secure(inner, hosts("localhost", pattern))


@pytest.mark.parametrize("path", ["/health", "/version", "/ready", "/mlflow/health", "/mlflow/ready"])
def test_health_answers_whatever_the_host(path: str) -> None:
    settings = SecuritySettings(None, (), "SAMEORIGIN", static_prefix="/mlflow")
    for headers in ([("Host", "probe.evil.example")], [("Host", "@")], []):
        assert request(settings, *headers, path=path).body == b"reached"


@pytest.mark.parametrize("path", ["/healthz", "/health/x", "/x/health", "/mlflow/health", "//health", "/HEALTH"])
def test_only_the_health_paths_themselves_answer_any_host(path: str) -> None:
    assert request(DEFAULTS, ("Host", "evil.example"), path=path).status == 403


def test_invented_hosts_are_remembered_up_to_a_bound_and_never_long_ones() -> None:
    allowed = AllowedHosts(("*.example.com",))
    assert allowed.of({"headers": [(b"host", b"h" * 10_000)]}) is None
    assert allowed._judge.cache_info().currsize == 0
    for number in range(5000):
        assert allowed.of({"headers": [(b"host", b"h%d.example.com" % number)]}) is not None
    assert allowed._judge.cache_info().currsize == 1024


FOREIGN_ORIGINS = [
    "http://evil.example", "https://evil.example:5000", "null", "http://localhost.evil.example",
    "http://localhost:80@evil.example", "http://localhost@evil.example", "http://evil.example#@localhost",
    "http://user:password@localhost", "http://localhost:5000/path", "http://localhost:", "http://localhost:x",
    "http://127.0.0.1.evil.example", "http://127.0.0.2", "http://10.0.0.1:5000", "http://[::1", "http://LOCALHOST",
    "http://localhost.", "http://localhost http://evil.example", "ftp://localhost", "file://", "//localhost",
    "localhost", "http://l\xf6calhost", "http://" + "a." * 5000 + "localhost",
]  # fmt: skip


@pytest.mark.parametrize("method", [*STATE_CHANGING, "post", "PROPFIND"])
@pytest.mark.parametrize("path", ["/api/2.0/mlflow/runs/create", "/ajax-api/3.0/x", "/v1/traces", "/health", "/"])
def test_a_state_changing_request_from_a_foreign_page_is_refused_on_every_path(method: str, path: str) -> None:
    answer = request(DEFAULTS, LOCAL, ("Origin", "https://evil.example"), method=method, path=path)
    assert (answer.header("vary"), answer.header("access-control-allow-origin")) == ("Origin", None)
    assert answer.message == (
        "Cross-origin request blocked: Origin 'https://evil.example' is not allowed; to allow an origin, set "
        "--cors-allowed-origins or MLFLOW_SERVER_CORS_ALLOWED_ORIGINS."
    )


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_an_origin_that_only_looks_local_is_foreign(origin: str) -> None:
    assert request(DEFAULTS, LOCAL, ("Origin", origin), method="POST").status == 403
    read = request(DEFAULTS, LOCAL, ("Origin", origin))
    assert read.body == b"reached"
    assert [name for name, _ in read.headers if name.startswith("access-control-")] == []


@pytest.mark.parametrize("origin", ["http://localhost", "https://localhost:3", "http://127.0.0.1:3", "http://[::1]:3"])
@pytest.mark.parametrize("method", ["GET", *STATE_CHANGING])
def test_a_page_of_localhost_may_read_and_write_on_any_port(origin: str, method: str) -> None:
    answer = request(DEFAULTS, LOCAL, ("Origin", origin), method=method)
    assert answer.body == b"reached"
    assert answer.header("access-control-allow-origin") == origin
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("vary") == "Origin"


def test_two_origins_are_refused_even_if_one_is_local() -> None:
    both = [("Origin", "http://localhost"), ("Origin", "https://evil.example")]
    for headers in (both, both[::-1]):
        assert "more than one Origin" in request(DEFAULTS, LOCAL, *headers, method="POST").message


def test_a_client_that_sends_no_origin_is_let_through() -> None:
    for headers in ([], [("Origin", "")]):
        answer = request(DEFAULTS, LOCAL, *headers, method="POST")
        assert answer.body == b"reached"
        assert answer.header("vary") == "Origin"


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("mlflow.example.com", "https://mlflow.example.com", 200),
        ("mlflow.example.com", "http://mlflow.example.com", 200),
        ("mlflow.example.com:443", "https://mlflow.example.com", 200),
        ("MLflow.example.com:5000", "http://mlflow.example.com:5000", 200),
        ("mlflow.example.com", "https://mlflow.example.com:8443", 403),
        ("mlflow.example.com:5000", "http://mlflow.example.com", 403),
        ("mlflow.example.com:80", "https://mlflow.example.com", 403),
        ("mlflow.example.com", "app://mlflow.example.com", 403),
        ("mlflow.example.com", "https://other.example.com", 403),
    ],
)
def test_a_page_of_this_server_itself_may_write(host: str, origin: str, status: int) -> None:
    settings = hosts("mlflow.example.com")
    assert request(settings, ("Host", host), ("Origin", origin), method="POST").status == status


def test_a_rebound_name_is_no_page_of_this_server_even_where_every_host_is_allowed() -> None:
    rebound = [("Host", "evil.example"), ("Origin", "http://evil.example")]
    assert request(hosts("*"), *rebound, method="POST").status == 403
    assert request(DEFAULTS, *rebound, method="POST", path="/health").status == 403
    assert request(hosts("*", "evil.example"), *rebound, method="POST").status == 200


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("https://app.co", ["https://app.co", "https://app.co:443"], ["http://app.co", "https://app.co:8443"]),
        ("https://app.co", [], ["https://app.co.evil", "https://xapp.co", "https://app.co@evil.example"]),
        ("http://app.co:3000", ["http://app.co:3000"], ["http://app.co", "http://app.co:30000"]),
        ("https://*.app.co", ["https://a.app.co"], ["https://app.co", "http://a.app.co", "https://a.app.co:8443"]),
        ("https://*.app.co", [], ["https://e.evil/.app.co", "https://e.evil?.app.co", f"https://{'a.' * 200}app.co"]),
        ("http://192.168.*", ["http://192.168.1.5", "http://192.168.1.5:3000"], ["http://192.168.evil.example"]),
        ("*.app.co", ["https://a.app.co", "http://a.app.co"], ["https://app.co", "https://a.app.co:8443"]),
        ("app://desktop", ["app://desktop"], ["https://desktop", "app://desktop.evil.example"]),
    ],
)
def test_an_origin_pattern_allows_what_it_names_and_nothing_else(
    pattern: str, allowed: list[str], refused: list[str]
) -> None:
    for origin in allowed + refused:
        answer = request(origins(pattern), LOCAL, ("Origin", origin), method="POST")
        expected = (200, origin) if origin in allowed else (403, None)
        assert (origin, answer.status, answer.header("access-control-allow-origin")) == (origin, *expected)


@pytest.mark.parametrize("pattern", ["app.co", "https://app.co/", "https://", "https://*", "null", "https?://app.co"])
def test_an_origin_pattern_that_names_no_origin_stops_the_start(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"--cors-allowed-origins \(MLFLOW_SERVER_CORS_ALLOWED_ORIGINS\): "):
        secure(inner, origins(pattern))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost"])
def test_a_star_allows_every_origin_but_no_credentials(origin: str) -> None:
    answer = request(origins("https://app.co", "*"), LOCAL, ("Origin", origin), method="POST")
    assert answer.body == b"reached"
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("access-control-allow-credentials") is None


def preflight(settings: SecuritySettings, origin: str, *headers: tuple[str, str], path: str = "/api/x") -> Answer:
    asked = [("Access-Control-Request-Method", "PATCH"), ("Access-Control-Request-Headers", "content-type, x-a")]
    return request(settings, *(headers or [LOCAL]), ("Origin", origin), *asked, method="OPTIONS", path=path)


@pytest.mark.parametrize("path", ["/api/2.0/mlflow/runs/create", "/v1/traces"])
def test_a_preflight_of_an_allowed_origin_is_answered_without_reaching_the_app(path: str) -> None:
    answer = preflight(origins("https://*.app.co"), "https://a.app.co", path=path)
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.header("access-control-allow-origin") == "https://a.app.co"
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("access-control-allow-headers") == "content-type, x-a"
    assert "PATCH" in (answer.header("access-control-allow-methods") or "")
    assert "Origin" in (answer.header("vary") or "")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:80@evil.example"])
def test_a_preflight_of_a_foreign_origin_is_refused_and_logged(origin: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = preflight(DEFAULTS, origin)
    assert answer.status == 400
    assert answer.header("access-control-allow-origin") is None
    assert f"'{origin}'" in caplog.text and "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS" in caplog.text


def test_a_preflight_of_any_origin_is_answered_under_a_star_without_credentials() -> None:
    answer = preflight(origins("*"), "https://evil.example")
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, "*")
    assert answer.header("access-control-allow-credentials") is None


def test_a_preflight_under_a_foreign_host_is_refused() -> None:
    assert preflight(DEFAULTS, "http://localhost", ("Host", "evil.example")).status == 403


def test_every_answer_carries_the_security_headers_once_in_place_of_the_apps_own() -> None:
    answers = [
        request(DEFAULTS, LOCAL),
        request(DEFAULTS, ("Host", "evil.example")),
        request(DEFAULTS, LOCAL, ("Origin", "https://evil.example"), method="POST"),
        preflight(DEFAULTS, "http://localhost"),
    ]
    assert [answer.status for answer in answers] == [200, 403, 403, 200]
    for answer in answers:
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("x-frame-options") == "SAMEORIGIN"


@pytest.mark.parametrize(("value", "sent"), [("deny", "DENY"), ("sameorigin", "SAMEORIGIN"), ("None", "ALLOWALL")])
def test_the_frame_option_is_the_operators_and_none_leaves_the_apps_own(value: str, sent: str) -> None:
    assert request(SecuritySettings(None, (), value), LOCAL).header("x-frame-options") == sent


def test_an_unknown_frame_option_stops_the_start() -> None:
    with pytest.raises(ValueError, match="--x-frame-options.*'DENY.*' is none of SAMEORIGIN, DENY, NONE"):
        secure(inner, SecuritySettings(None, (), "DENY\r\nX-Evil: 1"))


def test_an_answer_the_app_uses_again_is_not_changed() -> None:
    start: Message = {"type": "http.response.start", "status": 200, "headers": [(b"vary", b"Accept-Encoding")]}

    async def constant(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    assert request(DEFAULTS, LOCAL, app=constant).header("vary") == "Accept-Encoding, Origin"
    assert start["headers"] == [(b"vary", b"Accept-Encoding")]


def test_disabled_layers_change_nothing() -> None:
    settings = SecuritySettings(None, (), "SAMEORIGIN", enabled=False)
    assert secure(inner, settings) is inner


def test_what_is_not_http_passes_untouched() -> None:
    seen: list[str] = []

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def unused(*message: Message) -> Message:
        raise AssertionError("nothing is received or sent")

    asyncio.run(secure(lifespan, DEFAULTS)({"type": "lifespan"}, unused, unused))
    assert seen == ["lifespan"]
