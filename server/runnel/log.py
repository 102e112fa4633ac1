"""The log: text lines or JSON lines on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from typing import Literal

import orjson

_WRITE_SECONDS = 0.1
_FLUSH_SECONDS = 5.0
# Lines that wait while the log's reader is slow; past that, lines are dropped and counted.
_MAX_WAITING_LINES = 50_000

_CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(32), 127) if code not in (9, 10)}


class LineWriter:
    """Writes lines to standard error from a thread of its own: a slow reader of the log never holds up a request."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._dropped = 0
        self._is_writing = False
        self._thread = threading.Thread(target=self._write_forever, name="log", daemon=True)

    def start(self) -> None:
        """Starts the thread, if that has not been done."""
        if not self._thread.is_alive():
            self._thread.start()

    def add(self, line: str) -> None:
        """Takes a line to write within a tenth of a second."""
        if len(self._lines) < _MAX_WAITING_LINES:
            self._lines.append(line)
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Waits until everything is written, at most for some seconds."""
        deadline = time.monotonic() + _FLUSH_SECONDS
        while (self._lines or self._is_writing) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _write_forever(self) -> None:
        while True:
            time.sleep(_WRITE_SECONDS)
            self._is_writing = True
            lines, self._lines = self._lines, []
            if self._dropped:
                lines.append(f"{self._dropped} lines were dropped: the log is read too slowly\n")
                self._dropped = 0
            if lines:
                with contextlib.suppress(OSError, ValueError):  # a full disk, a closed pipe: there may be room again
                    sys.stderr.write("".join(lines))
                    sys.stderr.flush()
            self._is_writing = False


LOG = LineWriter()


class LineHandler(logging.Handler):
    """Hands the records of ``logging`` to the writer of lines."""

    def emit(self, record: logging.LogRecord) -> None:
        LOG.add(f"{self.format(record)}\n")

    def flush(self) -> None:
        LOG.flush()


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
    LOG.start()
    handler = LineHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("runnel").setLevel(logging.INFO)
