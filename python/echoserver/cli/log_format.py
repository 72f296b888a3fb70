"""`--log-format`: the lines of the program on stderr, for people or for other programs."""

from __future__ import annotations

import datetime
import json
import logging
from typing import Any

__all__ = ["JsonLines", "trace_line"]


class JsonLines(logging.Formatter):
    """An object in a line: time, level, event and message, and what else there is of that event."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said: dict[str, Any] = getattr(record, "echoserver", {"event": "server"})
        return _line(record.created, record.levelname.lower(), record.getMessage(), said | self._traceback(record))

    def _traceback(self, record: logging.LogRecord) -> dict[str, str]:
        return {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}


def trace_line(text: str) -> str:
    """A line of `--trace` as JSON."""
    return _line(datetime.datetime.now().timestamp(), "info", text, {"event": "trace"})


def _line(time: float, level: str, message: str, said: dict[str, Any]) -> str:
    when = datetime.datetime.fromtimestamp(time, datetime.UTC)
    shown = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": shown, "level": level, "event": said["event"], "message": message} | said)
