"""Webhooks' secrets, encrypted as MLflow encrypts them (Fernet) with a key that is not in the database."""

from __future__ import annotations

from runnel.domain.errors import InvalidParameterValue


class UndecryptableSecret(Exception):
    """The secret was encrypted with another key than the server has now, or the server has none."""


class SecretKey:
    """The key, if there is one. The library is imported when there is something to encrypt or decrypt."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def check(self) -> None:
        """Refuses a secret where there is no key: with one that is made up, all secrets would be lost at the end."""
        if self._key is None:
            raise InvalidParameterValue(
                "A webhook's secret is kept encrypted, and this server has no key for that: set its variable "
                "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY to 32 random bytes in URL-safe base64, or leave 'secret' out"
            )

    def encrypt(self, secret: str) -> str:
        """The secret as it is kept."""
        self.check()
        from cryptography.fernet import Fernet

        return Fernet(self._key or "").encrypt(secret.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """The secret itself."""
        if self._key is None:
            raise UndecryptableSecret
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(self._key).decrypt(encrypted).decode()
        except InvalidToken:
            raise UndecryptableSecret from None
