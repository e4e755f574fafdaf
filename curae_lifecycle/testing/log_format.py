"""Facts, callers and responses as the lines of a log that `replay` reads have them."""

from __future__ import annotations

from datetime import datetime

from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import Coordinate, format_time
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.json import Json
from curae_lifecycle.web.wire_format import to_camel_case


def format_fact(fact: Fact) -> dict[str, Json]:
    """A fact: its kind, and one member for each of its fields that says something.

    Raises:
        TypeError: No line can say this fact.
    """
    line: dict[str, Json] = {"type": fact.kind}
    for name in fact.__match_args__:
        value: object = getattr(fact, name)
        if isinstance(value, Coordinate):
            line |= {
                to_camel_case(part): str(getattr(value, part)) for part in Coordinate.__match_args__
            }
        elif isinstance(value, datetime):
            line[to_camel_case(name)] = format_time(value)
        elif isinstance(value, str | bool | int):
            line[to_camel_case(name)] = value
        elif value is not None:
            raise TypeError(f"no log has a line for {name} of {type(fact).__name__}")
    return line


def format_caller(api_key: str, caller: Caller) -> dict[str, Json]:
    """An API key and whom it stands for.

    Args:
        api_key: The key.
        caller: Whom it stands for.
    """
    return {
        "apiKey": api_key,
        "appId": caller.app_id,
        "customerAccountId": caller.customer_account_id,
        "scopes": [*sorted(caller.scopes)],
        "environment": caller.environment,
    }


def format_response(response: Response) -> dict[str, Json]:
    """What a request was answered."""
    return {
        "status": response.status,
        "headers": dict(response.headers),
        "body": response.body.decode() or None,
    }
