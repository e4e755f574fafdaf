"""JSON logging: one object a line, each with the id of its request.

The laws of this module:

- **No traceback is logged**, except for an endpoint in debug mode. Of an exception, a line holds
  the type and where it was raised, and never its text.
- **No line holds a path that server software logged.** The line is dropped, or loses its text if it
  reports a failure.
- **No line holds the values of a statement that a database driver logged.** Such a line loses its
  text.
- **No other logger is silenced.**
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from secrets import token_hex
from traceback import format_exception
from typing import Final, TextIO

import attrs

from curae_lifecycle.stores.request_loop import LOG_TRACEBACKS, format_frames
from curae_lifecycle.web.request import Request, header_values

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the current request; every line logged in its context carries the id."""

_ID: Final = re.compile(r"[0-9A-Fa-f][0-9A-Fa-f-]{14,62}[0-9A-Fa-f]")
_TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def request_id(request: Request) -> str:
    """Return the id for a request's log lines: one that the client sent, or a new random one.

    `X-Request-Id` is used if its value is 16 to 64 hexadecimal digits and dashes, such as a UUID.
    Otherwise the trace id in `traceparent` is used, if that header is well-formed. Any other value
    is ignored, because it could be an API key or a name. A repeated header is ignored, too.
    """
    for name, pattern, group in (("x-request-id", _ID, 0), ("traceparent", _TRACE, 1)):
        values = header_values(request, name)
        match = pattern.fullmatch(values[0]) if len(values) == 1 else None
        if match is not None:
            return match[group]
    return token_hex(16)


@attrs.frozen
class RequestLine:
    """The log line of one request; it holds no path, no request header and no body.

    Attributes:
        operation: The operation's name, or `page`, `live`, `ready` or `metrics`. None if no
            operation has the method and path, or if the request was cancelled.
        method: The method if HTTP defines it, else `OTHER`.
        status: The status of the response; None if the request was cancelled before its response.
        rules: The names of the rules that decided, in order; empty if none did.
        replayed: Whether the response is the stored response of an earlier request.
        seconds: The duration of the request.
        attempts: How many attempts to load, decide and commit were started.
        waited: The part of `seconds` that was spent waiting between attempts.
        code: The problem's code; None if the response is no problem or is that of a hosted page.
        retry_after: The seconds of `Retry-After`; None if the response lacks this header.
        limit: The name of the rate limit that refused the request; None if none did.
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
        """Return the fields as members of a JSON object: camelCase names, seconds to 6 places."""
        return {
            "operation": self.operation,
            "method": self.method,
            "status": self.status,
            "rules": [*self.rules],
            "replayed": self.replayed,
            "seconds": round(self.seconds, 6),
            "attempts": self.attempts,
            "waited": round(self.waited, 6),
            "code": self.code,
            "retryAfter": self.retry_after,
            "limit": self.limit,
        }

    def __str__(self) -> str:
        # Other formatters than `JsonFormatter` show this text.
        return json.dumps(self.members())


# --- Lines ----------------------------------------------------------------------------------


class JsonFormatter(logging.Formatter):
    """A formatter for `logging` that writes each record as one line of JSON in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a log record as one line of JSON.

        The line has the id of the current request, if there is one. The members of a `RequestLine`
        (the log line of a request) are added. Of an exception, the line has the type and where it
        was raised. Its traceback and its text are added only in a request to an `Endpoint` with
        `debug=True`.
        """
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        current_id = REQUEST_ID.get()
        if current_id is not None:
            line["requestId"] = current_id
        if isinstance(record.msg, RequestLine):
            line |= record.msg.members()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line |= {"error": type(error).__name__, "raisedAt": format_frames(error)}
            if LOG_TRACEBACKS.get():
                line["traceback"] = "".join(format_exception(error))
        return json.dumps(line)


_PATH_LOGGERS: Final = (
    *("django.request", "django.server", "django.security.csrf", "django.security.DisallowedHost"),
    *("uvicorn.access", "gunicorn.access", "granian.access", "hypercorn.access", "werkzeug"),
    *("aiohttp.access", "sanic.access"),
)
"""Loggers of server software whose lines can hold a path."""

_DJANGO_LOGGERS: Final = ("django.request", "django.server")
"""Those of them that log each response of 500 or more. Only an exception's line has `exc_info`."""

_PATH_MESSAGES: Final = re.compile(
    r"Exception on .+ \[[^][]*\]"  # Flask, which fills in the path itself
    r"|Exception while serving %s"  # waitress
    r"|Error handling request %s"  # gunicorn
    r"|Exception occurred while handling uri: %s"  # Sanic
    r'|Exception raised in exception handler "%s" for uri: %s'  # Sanic
    r"|Uncaught exception \(connection_type=%s, path=%r\):"  # Litestar
    r"|Application callable raised an exception\n.+",  # granian, with the traceback
    re.DOTALL,
)
"""Messages of other loggers that report a failure with the path of its request, or its text."""

_OWN_HANDLER_LOGGERS: Final = ("sanic.error", "litestar", "_granian.utils")
"""Loggers with such messages and with handlers that the framework or the server software adds."""

_STATEMENT_LOGGERS: Final = {"aiosqlite": logging.DEBUG, "asyncmy": logging.INFO}
"""Loggers of drivers that log statements with their values, and the level of those lines."""

_HIDDEN_TEXT: Final = "a request failed outside of the endpoint; its path is not logged"

_HIDDEN_STATEMENT: Final = "a line of a database driver, which may hold values"

_HIDDEN_TASK: Final = "a task or a callback failed; its text is not logged"


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.msg, RequestLine):
        return "request"
    if record.name in _PATH_LOGGERS or _has_path_message(record):
        return _HIDDEN_TEXT
    if _has_statement(record):
        return _HIDDEN_STATEMENT
    if record.name == "asyncio" and record.exc_info:
        # The message holds the repr of the task, and so the exception's text.
        return _HIDDEN_TASK
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - `logging` would print the arguments, which can be secret
        return "a log record that cannot be formatted"


def _is_returned_response(record: logging.LogRecord) -> bool:
    return record.name in _DJANGO_LOGGERS and not record.exc_info


def _has_path_message(record: logging.LogRecord) -> bool:
    return isinstance(record.msg, str) and _PATH_MESSAGES.fullmatch(record.msg) is not None


def _has_statement(record: logging.LogRecord) -> bool:
    return record.levelno <= _STATEMENT_LOGGERS.get(record.name, logging.NOTSET)


def _hide_path(record: logging.LogRecord) -> bool:
    # A filter: drops a record below ERROR, and keeps any other without its text. Django also logs a
    # response of 500 or more that a view returned, such as the endpoint's, which has its own lines.
    if record.levelno < logging.ERROR or _is_returned_response(record):
        return False
    record.msg, record.args = _HIDDEN_TEXT, ()
    return True


def _hide_path_message(record: logging.LogRecord) -> bool:
    # A filter: keeps every record, without its text if that holds a path.
    if _has_path_message(record):
        record.msg, record.args = _HIDDEN_TEXT, ()
    return True


def _hide_statement(record: logging.LogRecord) -> bool:
    # A filter: keeps every record, without its text if that holds the values of a statement.
    if _has_statement(record):
        record.msg, record.args = _HIDDEN_STATEMENT, ()
    return True


# --- A process ------------------------------------------------------------------------------


def configure_logging(
    level: int = logging.INFO,
    stream: TextIO | None = None,
    levels: Mapping[str, int] | None = None,
) -> None:
    """Write this process's log as lines of JSON.

    The lines of all loggers appear if they propagate their records to the root logger. Some lines
    of server software can hold a request's path. These are dropped, or lose their text if they
    report a failure, because a path can be a secret. Lines of a database driver lose their text if
    it holds the values of a statement.

    Call this function after any code that configures logging itself, such as `django.setup()`. Such
    code can disable the package's loggers; they are enabled again. A second call replaces the
    stream and the root level; levels that `levels` has set stay.

    Args:
        level: The level of all loggers whose own level is not set.
        stream: The stream to write to; standard error by default.
        levels: The levels of single loggers, by the logger's name.
    """
    handler = _JsonHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each, _JsonHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level)
    for name, own_level in (levels or {}).items():
        logging.getLogger(name).setLevel(own_level)
    for name, logger in [*logging.root.manager.loggerDict.items()]:
        if isinstance(logger, logging.Logger) and name.startswith("curae_lifecycle."):
            # `logging.config` disables existing loggers by default.
            logger.disabled = False
    for name in _PATH_LOGGERS:
        # On the logger, not on the handler: the logger's own handlers would write the path, too.
        logging.getLogger(name).addFilter(_hide_path)
    for name in _OWN_HANDLER_LOGGERS:
        logging.getLogger(name).addFilter(_hide_path_message)
    for name in _STATEMENT_LOGGERS:
        logging.getLogger(name).addFilter(_hide_statement)


class _JsonHandler(logging.StreamHandler[TextIO]):
    """The handler that `configure_logging` installs, as a type so that it can be found again."""
