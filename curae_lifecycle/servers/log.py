"""One JSON object a line: what a process logs, and which request each line is of.

The laws of this module: **no line holds an error's text**: its kind is logged, and the way to where it
was raised; **what server software says about a path is left out**, or loses its words where it tells
of a failure; **nobody else's logger is silenced**.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final, TextIO

import attrs

from curae_lifecycle.stores.request_loop import format_frames
from curae_lifecycle.web.request import Request, header_values
from curae_lifecycle.web.wire_format import to_camel_case

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the request that is being answered; every line of its context bears it."""

_ID: Final = re.compile(r"[0-9A-Fa-f](?:[0-9A-Fa-f-]{14,62})[0-9A-Fa-f]")
_TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def request_id(request: Request) -> str:
    """The id that a request's lines bear: what came with it, or one that is made here.

    Taken are `X-Request-Id`, where it is 16 to 64 hexadecimal digits and dashes, as a UUID is, and
    else the trace of `traceparent`. Anything else could be a key or a name.
    """
    for name, form, part in (("x-request-id", _ID, 0), ("traceparent", _TRACE, 1)):
        values = header_values(request, name)
        found = form.fullmatch(values[0]) if len(values) == 1 else None
        if found is not None:
            return found[part]
    return token_hex(16)


@attrs.frozen
class RequestLine:
    """What is logged of one request: nothing that it holds, and nothing that it was answered.

    Attributes:
        operation: The operation's name; `page`, `live`, `ready` or `metrics`; none where the rules
            know no such path.
        method: The method, where it is one of HTTP's own; else `OTHER`.
        status: The status of the answer; none where whoever asked was gone before.
        rules: The names of the rules that decided, in order.
        replayed: Whether the answer was given before.
        seconds: How long it took.
        attempts: How many attempts it took at the store.
        waited: The seconds among them that were waited between attempts.
        code: The problem's code, where it was one.
        retry_after: After how many seconds a retry is asked for, where one is.
        limit: The name of the limit that refused it, where one did.
    """

    operation: str | None
    method: str
    status: int | None
    rules: tuple[str, ...]
    replayed: bool
    seconds: float
    attempts: int
    waited: float
    code: str | None
    retry_after: int | None
    limit: str | None

    def members(self) -> dict[str, object]:
        """The members of the line, as its JSON has them."""
        held = attrs.asdict(self, recurse=False)
        rounded = {"seconds": round(self.seconds, 6), "waited": round(self.waited, 6)}
        named = {to_camel_case(name): value for name, value in {**held, **rounded}.items()}
        return {**named, "rules": [*self.rules]}

    def __str__(self) -> str:
        # What a log without this module's format shows.
        return json.dumps(self.members())


# --- Lines ----------------------------------------------------------------------------------


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        asked = REQUEST_ID.get()
        if asked is not None:
            line["requestId"] = asked
        if isinstance(record.msg, RequestLine):
            line |= record.msg.members()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line |= {"error": type(error).__name__, "raisedAt": format_frames(error)}
        return json.dumps(line)


_NAME_PATHS: Final = (
    *("django.request", "django.server", "django.security.csrf", "django.security.DisallowedHost"),
    *("uvicorn.access", "gunicorn.access", "granian.access", "hypercorn.access", "werkzeug"),
)
"""Loggers whose every line can name a path."""

_PATH_TEXTS: Final = frozenset(
    {
        "Exception on %s [%s]",  # Flask
        "Exception while serving %s",  # waitress
        "Error handling request %s",  # gunicorn
    }
)
"""What others' loggers say of a failure, with the path of its request."""

_HIDDEN: Final = "a request failed outside of the rules; its path is not logged"


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.msg, RequestLine):
        return "request"
    if record.name in _NAME_PATHS or str(record.msg) in _PATH_TEXTS:
        return _HIDDEN
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - logging would print what was to be written, and where
        return "a line that cannot be written"


def _is_told(record: logging.LogRecord) -> bool:
    # At a logger that names paths: it is heard where it failed, and then without its words.
    if record.levelno < logging.ERROR:
        return False
    record.msg, record.args = _HIDDEN, ()
    return True


# --- A process ------------------------------------------------------------------------------


def configure_logging(
    level: int = logging.INFO,
    stream: TextIO | None = None,
    levels: Mapping[str, int] | None = None,
) -> None:
    """Let this process log lines of JSON; again replaces what was configured here before.

    Everybody's loggers are heard, as far as they pass records on. Call it after whatever configures
    logging by itself, such as `django.setup()`.

    Args:
        level: The least level of all loggers that have none of their own.
        stream: Where the lines go; standard error where nothing is said.
        levels: Levels of single loggers.
    """
    handler = _Handler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level)
    for name, own in (levels or {}).items():
        logging.getLogger(name).setLevel(own)
    for name in _NAME_PATHS:
        # At the logger, for its own handlers would write the path, too.
        logging.getLogger(name).addFilter(_is_told)


class _Handler(logging.StreamHandler[TextIO]):
    """The one handler that is configured here."""
