"""Webhooks over HTTPS: the certificate must be valid for the name in the URL, though an address is connected to."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runnel.webhooks import requests
from runnel.webhooks.requests import NotDelivered, post
from tests.webhook_receiver import WebhookReceiver


def certificate_for(name: str, folder: Path) -> Path:
    """A certificate and its key in one file, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / f"{name}.pem"
    file.write_bytes(key.private_bytes(pem, key_format, serialization.NoEncryption()) + certificate.public_bytes(pem))
    return file


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The certificate of localhost, which OpenSSL is told to trust."""
    file = certificate_for("localhost", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    requests._tls.cache_clear()
    yield file
    requests._tls.cache_clear()


def receiver_with(file: Path, names: list[str | None]) -> WebhookReceiver:
    """A receiver over TLS that keeps the names by which clients ask for it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    tls.sni_callback = lambda _, name, __: names.append(name)
    return WebhookReceiver(tls=tls)


def send(url: str) -> int:
    answer = post(url, "{}", "id", "secret", timeout=10, allow_private=True, wants_body=True)
    assert answer.body == "received"
    return answer.status


def test_a_receiver_with_a_valid_certificate_is_told(trusted: Path) -> None:
    names: list[str | None] = []
    with receiver_with(trusted, names) as receiver:
        assert send(receiver.url(host="localhost")) == 200
        (request,) = receiver.received
        assert request.headers["host"] == f"localhost:{receiver.server_port}"
        assert request.is_signed_with("secret")
    assert names == ["localhost"]


def test_a_certificate_of_another_name_is_refused(trusted: Path) -> None:
    with receiver_with(trusted, []) as receiver:
        with pytest.raises(NotDelivered, match="the certificate is not valid: .*127.0.0.1") as refused:
            send(receiver.url(host="127.0.0.1"))
        assert not refused.value.may_retry
        assert receiver.received == []


def test_a_certificate_that_nobody_vouches_for_is_refused(trusted: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with receiver_with(certificate_for("localhost", tmp_path / "other"), []) as receiver:
        with pytest.raises(NotDelivered, match="the certificate is not valid"):
            send(receiver.url(host="localhost"))
        assert receiver.received == []


def test_a_receiver_without_tls_is_no_receiver_of_https(trusted: Path) -> None:
    with WebhookReceiver() as receiver:
        with pytest.raises(NotDelivered, match="SSLError"):
            send(receiver.url(host="localhost").replace("http:", "https:"))
        assert receiver.received == []
