"""The form of the log: text lines or JSON lines on standard error."""

from __future__ import annotations

import logging
from typing import Literal

import orjson

_CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(32), 127) if code not in (9, 10)}


class TextFormatter(logging.Formatter):
    """Time, level and message; control characters that a client sent are shown, not obeyed."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(_CONTROL_CHARACTERS)


class JsonFormatter(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": record.created,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def configure_logging(log_format: Literal["text", "json"]) -> None:
    """Sends the server's log to standard error. Requests have a line of their own from the access log."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("runnel").setLevel(logging.INFO)
