"""JSON forms of facts, callers and responses, as the lines of a `replay` log hold them."""

from __future__ import annotations

from datetime import datetime

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import Coordinate, format_time
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.events import format_coordinate
from curae_lifecycle.web.wire_format import to_camel_case


def format_fact(fact: Fact) -> dict[str, Json]:
    """Format a fact for a line of a `replay` log: its kind as `type`, then its other fields.

    Fields that are `None` are left out. A coordinate becomes four members, one for each part.

    Raises:
        TypeError: A field has a type that a log line cannot hold.
    """
    line: dict[str, Json] = {"type": fact.kind}
    for name in fact.__match_args__:
        value: object = getattr(fact, name)
        if isinstance(value, Coordinate):
            line |= format_coordinate(value)
        elif isinstance(value, datetime):
            line[to_camel_case(name)] = format_time(value)
        elif isinstance(value, str | bool | int):
            line[to_camel_case(name)] = value
        elif value is not None:
            raise TypeError(
                f"a log line cannot hold {name} of {type(fact).__name__}: it is a "
                f"{type(value).__name__}, and must be a coordinate, datetime, str, bool or int"
            )
    return line


def format_caller(api_key: str, caller: Caller) -> dict[str, Json]:
    """Format the registration of an API key for a `replay` log: the key and its caller's fields.

    Args:
        api_key: The key.
        caller: The caller that the key authenticates.
    """
    return {
        "apiKey": api_key,
        "appId": caller.app_id,
        "customerAccountId": caller.customer_account_id,
        "scopes": [*sorted(caller.scopes)],
        "environment": caller.environment,
    }


def format_response(response: Response) -> dict[str, Json]:
    """Format a response for a `replay` log: status, headers and body; null for an empty body.

    If a header is repeated, only its last value is kept. Bytes that are not UTF-8 are shown as
    escapes.
    """
    return {
        "status": response.status,
        "headers": dict(response.headers),
        "body": response.body.decode(errors="backslashreplace") or None,
    }
