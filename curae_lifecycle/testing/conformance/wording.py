"""Wording of values in failure messages.

The law of this module: **a value is written as JSON writes it**, never as Python's `repr` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from enum import Enum
from typing import cast

import attrs

from curae_lifecycle.rules.values import format_time
from curae_lifecycle.service.response import Response


def format_value(value: object) -> str:
    """Format a value for a message: as JSON, or a set as its sorted names (`none` if empty)."""
    if isinstance(value, AbstractSet):
        names = cast("AbstractSet[object]", value)
        return ", ".join(sorted(map(str, names))) or "none"
    return json.dumps(_plain(value))


def difference(first: Response, second: Response) -> str:
    """Describe the first difference between two unequal responses, such as `headers: x-id`.

    The statuses are compared first, then the bodies, then the headers.
    """
    if first.status != second.status:
        return f"statuses: {first.status} and {second.status}"
    if first.body != second.body:
        return "bodies"
    names = sorted({name for name, _ in {*first.headers} ^ {*second.headers}})
    return f"headers: {', '.join(names) or 'their order or repetition'}"


def format_argument(value: object) -> str:
    """Format an argument or result of a hook (a function of the server) for a failure message.

    A string is written without quotes, a `timedelta` as `str` writes it, such as `0:30:00`, and a
    member of an enum as its value. Any other value is written as `format_value` writes it.
    """
    match value:
        case Enum():
            return str(value.value)
        case str() | timedelta():
            return str(value)
        case _:
            return format_value(value)


def _plain(value: object) -> object:
    # A value that `json.dumps` can write, with members in their own order.
    match value:
        case Enum():
            return _plain(cast("object", value.value))
        case bytes():
            return value.decode(errors="replace")
        case datetime():
            return format_time(value)
        case Mapping():
            members = cast("Mapping[object, object]", value)
            return {str(name): _plain(member) for name, member in members.items()}
        case list() | tuple() | AbstractSet():
            items = cast("Iterable[object]", value)
            if isinstance(value, AbstractSet):
                items = sorted(items, key=str)
            return [_plain(item) for item in items]
        case None | bool() | int() | float() | str():
            return value
        case _ if attrs.has(type(value)):
            kind = cast("type[attrs.AttrsInstance]", type(value))
            fields = [each.name for each in attrs.fields(kind) if each.repr]
            return {name: _plain(cast("object", getattr(value, name))) for name in fields}
        case _:
            return str(value)


def status_and_code(status: int, body: object) -> str:
    """Return a status, followed by the problem code if `body`, a parsed body, has one."""
    code = cast("dict[str, object]", body).get("code") if isinstance(body, dict) else None
    return f"{status} {code}" if isinstance(code, str) else str(status)
