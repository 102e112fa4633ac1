"""One request to a webhook's receiver: signed as MLflow signs it, sent to an address that was checked.

Redirects are not followed, and no proxy is asked: either would lead elsewhere than to what was checked.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
import urllib.parse
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from runnel import __version__
from runnel.domain.errors import InvalidParameterValue
from runnel.webhooks.addresses import Address, look_up

MAX_ANSWER_BYTES = 64 * 1024  # of what a receiver says, as a test shows it
_SAFE = "/%:@!$&'()*+,;=~?"  # in a path and a query; the rest is written in percent signs
RETRY_STATUSES = (429, 500, 502, 503, 504)  # MLflow's


class NotDelivered(Exception):
    """No answer came, and why; ``may_retry``: it may be another time."""

    def __init__(self, reason: str, *, may_retry: bool = True) -> None:
        super().__init__(reason)
        self.may_retry = may_retry


class ReceiverAnswer(NamedTuple):
    """What a receiver answered; ``retry_after`` are the seconds that it asks to wait."""

    status: int
    body: str
    retry_after: float | None


def signature(secret: str, delivery_id: str, timestamp: str, body: str) -> str:
    """The header by which a receiver knows that a request comes from one who knows the secret."""
    signed = f"{delivery_id}.{timestamp}.{body}".encode()
    return f"v1,{base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()}"


def post(
    url: str,
    body: str,
    delivery_id: str,
    secret: str | None,
    *,
    timeout: float,
    allow_private: bool,
    wants_body: bool,
) -> ReceiverAnswer:
    """Sends a delivery and waits for the answer, at most ``timeout`` seconds in all. Raises NotDelivered."""
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"runnel/{__version__}",
        "Connection": "close",
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": timestamp,
    }
    if secret:
        headers["X-MLflow-Signature"] = signature(secret, delivery_id, timestamp, body)
    parts = urllib.parse.urlsplit(url)
    if parts.username is not None:
        user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    is_https = parts.scheme == "https"
    host, port = _ascii(parts.hostname or ""), parts.port or (443 if is_https else 80)
    try:
        addresses = look_up(host, port, allow_private=allow_private)
    except InvalidParameterValue as error:
        raise NotDelivered(error.message, may_retry=False) from None
    except OSError as error:
        raise NotDelivered(f"the host {host!r} is not known: {error.strerror or error}") from None
    connection = _Connection(host, port, addresses, timeout, _tls() if is_https else None)
    path = urllib.parse.quote(parts.path or "/", safe=_SAFE) + (
        f"?{urllib.parse.quote(parts.query, safe=_SAFE)}" if parts.query else ""
    )
    return connection.exchange(path, body.encode(), headers, wants_body)


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise NotDelivered(f"{host!r} is no name of a host: {error}", may_retry=False) from None


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Connection(http.client.HTTPConnection):
    """A connection to the first of some addresses that can be reached, under the name by which the host is known."""

    def __init__(
        self, host: str, port: int, addresses: list[Address], seconds: float, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(host, port)
        self.default_port = 443 if tls else 80  # which is left out of the Host header
        self._addresses = addresses
        self._tls = tls
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._is_late = False

    def connect(self) -> None:
        """Connects to an address in the list, whatever the name stands for by now."""
        self.sock = self._connected()
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock.do_handshake()

    def _connected(self) -> socket.socket:
        failure = OSError("the host has no address")
        for address in self._addresses:
            connected = socket.socket(address.family, socket.SOCK_STREAM)
            connected.settimeout(max(0.001, self._deadline - time.monotonic()))
            try:
                connected.connect(address.where)
                return connected
            except OSError as error:
                connected.close()
                failure = error
        raise failure

    def exchange(self, path: str, body: bytes, headers: dict[str, str], wants_body: bool) -> ReceiverAnswer:
        """Sends a request and reads its answer, of the body as much as is shown."""
        # A receiver that sends a byte now and then would never be late for a single read.
        alarm = threading.Timer(self._seconds, self._give_up)
        alarm.daemon = True
        alarm.start()
        try:
            self.request("POST", path, body, headers)
            answer = self.getresponse()
            found = answer.read(MAX_ANSWER_BYTES) if wants_body else b""
            if self._is_late:  # what was cut off may look like a whole answer
                raise TimeoutError
            text = _decoded(found, answer.headers.get_content_charset("utf-8"))
            return ReceiverAnswer(answer.status, text, _seconds_to_wait(answer.headers.get("Retry-After")))
        except ssl.SSLCertVerificationError as error:
            raise NotDelivered(f"the certificate is not valid: {error.verify_message}", may_retry=False) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self._is_late or isinstance(error, TimeoutError):
                raise NotDelivered(f"no answer within {self._seconds:g} seconds") from None
            raise NotDelivered(f"{type(error).__name__}: {error}") from None
        finally:
            alarm.cancel()
            self.close()

    def _give_up(self) -> None:
        self._is_late = True
        with suppress(OSError, AttributeError):  # it has been closed, or there is none yet
            # The method of the plain socket: that of TLS would take the state away that the other thread works with.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def _decoded(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset, "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _seconds_to_wait(retry_after: str | None) -> float | None:
    """The header Retry-After, a number of seconds or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
