"""Values that are broken on purpose.

The law of this module: **a broken value names its defect and the expected answer**. No other module
draws a broken value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Final

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.idempotency import parse_idempotency_key
from curae_lifecycle.rules.problems import ProblemCode
from curae_lifecycle.rules.values import (
    check_instant,
    parse_app_user_id,
    parse_data_packages,
    parse_uuid,
)
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.stores.codec import Storable, dump
from curae_lifecycle.testing.strategies import values
from curae_lifecycle.testing.strategies.binding import bindings, sessions
from curae_lifecycle.testing.strategies.connection import connections
from curae_lifecycle.testing.strategies.limit import bucket_states, log_states
from curae_lifecycle.testing.strategies.record import records
from curae_lifecycle.testing.strategies.request import (
    as_bytes,
    call_of,
    callers_with_write_scope,
    format_request,
    operations,
)
from curae_lifecycle.web.json import Json
from curae_lifecycle.web.request import Request


@attrs.frozen
class BrokenRequest:
    """A request that every server must refuse.

    Attributes:
        request: The request.
        defect: The change that broke a well-formed request.
        expected_code: The problem code of the refusal, for any caller.
    """

    request: Request
    defect: str
    expected_code: ProblemCode


_BEARER: Final = "Bearer cae_live_k1"
_KEY: Final = "Idempotency-Key"


def broken_requests() -> st.SearchStrategy[BrokenRequest]:
    """Draw requests that are broken in one way each, with the expected answer."""
    creates = st.builds(CreateConnection, values.app_user_ids(), values.data_packages())
    graduations = st.builds(StartGraduation, values.app_user_ids())

    def broken(
        how: str,
        code: ProblemCode,
        operation: st.SearchStrategy[Operation],
        change: Callable[[Request], Request],
    ) -> st.SearchStrategy[BrokenRequest]:
        return st.builds(
            call_of, callers_with_write_scope(), operation, values.idempotency_keys()
        ).map(lambda call: BrokenRequest(change(format_request(call, _BEARER)), how, code))

    bad, missing = ProblemCode.BAD_REQUEST, ProblemCode.NOT_FOUND
    invalid, needed = ProblemCode.IDEMPOTENCY_KEY_INVALID, ProblemCode.IDEMPOTENCY_KEY_REQUIRED
    unasked, stranger = ProblemCode.IDEMPOTENCY_KEY_NOT_ALLOWED, ProblemCode.UNAUTHENTICATED
    get = st.builds(GetConnection, values.connection_ids())
    return st.one_of(
        broken(
            "no credentials", code=stranger, operation=operations(), change=_given("Authorization")
        ),
        broken(
            "two credentials",
            code=stranger,
            operation=operations(),
            change=_given("Authorization", _BEARER, _BEARER),
        ),
        broken(
            "unknown method",
            code=missing,
            operation=operations(),
            change=lambda r: attrs.evolve(r, method="PUT"),
        ),
        broken(
            "unknown path",
            code=missing,
            operation=operations(),
            change=lambda r: attrs.evolve(r, target="/nowhere"),
        ),
        broken(
            "malformed id",
            code=bad,
            operation=get,
            change=lambda r: attrs.evolve(r, target=r.target[:-1]),
        ),
        broken(
            "no JSON",
            code=bad,
            operation=creates,
            change=lambda r: attrs.evolve(r, body=as_bytes(r) + b"}"),
        ),
        broken(
            "no object", code=bad, operation=creates, change=lambda r: attrs.evolve(r, body=b"[]")
        ),
        broken(
            "unknown member",
            code=bad,
            operation=creates,
            change=lambda r: _member(r, b'"preferSignUp":true'),
        ),
        broken(
            "repeated member",
            code=bad,
            operation=creates,
            change=lambda r: _member(r, b'"appUserId":"user-1"'),
        ),
        broken(
            "null member",
            code=bad,
            operation=creates,
            change=lambda r: attrs.evolve(r, body=b'{"appUserId":null}'),
        ),
        broken(
            "missing member",
            code=bad,
            operation=creates,
            change=lambda r: attrs.evolve(r, body=b"{}"),
        ),
        broken("no key", code=needed, operation=creates, change=_given(_KEY)),
        broken("two keys", code=invalid, operation=creates, change=_given(_KEY, "k-1", "k-1")),
        broken("an unclosed key", code=invalid, operation=creates, change=_given(_KEY, '"k-1')),
        broken(
            "a key where none is allowed",
            code=unasked,
            operation=graduations,
            change=_given(_KEY, "k-1"),
        ),
    )


def _given(name: str, *texts: str) -> Callable[[Request], Request]:
    # Replace the values of a header.
    def change(request: Request) -> Request:
        others = (pair for pair in request.headers if pair[0] != name)
        return attrs.evolve(request, headers=(*others, *((name, text) for text in texts)))

    return change


def _member(request: Request, member: bytes) -> Request:
    # The body is an object with members.
    return attrs.evolve(request, body=b"{" + member + b"," + as_bytes(request)[1:])


# --- Arguments ------------------------------------------------------------------------------


@attrs.frozen
class BrokenArgument:
    """A value that is a mistake of the caller.

    Attributes:
        parse: The function that raises `ArgumentError`.
        value: The value.
        defect: The mistake.
    """

    parse: Callable[[object], object]
    value: object
    defect: str


def broken_arguments() -> st.SearchStrategy[BrokenArgument]:
    """Draw instants, ids, texts and packages that are broken in one way each."""
    return st.sampled_from(_ARGUMENTS)


def _instant(value: object) -> None:
    assert isinstance(value, datetime)  # noqa: S101 - every instant below is one
    check_instant("now", value)


def _id(value: object) -> str:
    return parse_uuid("id", value)


_LONG: Final = 256
_ARGUMENTS: Final = (
    BrokenArgument(_instant, values.START.replace(tzinfo=None), "a naive instant"),
    BrokenArgument(
        _instant, values.START.astimezone(timezone(timedelta(hours=1))), "another offset"
    ),
    BrokenArgument(_id, values.uuid_of(1).replace("-", ""), "a UUID without hyphens"),
    BrokenArgument(_id, f"{{{values.uuid_of(1)}}}", "a UUID in braces"),
    BrokenArgument(_id, 1, "a number for an id"),
    BrokenArgument(parse_app_user_id, "", "an empty app user"),
    BrokenArgument(parse_app_user_id, " user-1", "white space before an app user"),
    BrokenArgument(parse_app_user_id, "user-1\u00a0", "white space after an app user"),
    BrokenArgument(parse_app_user_id, "user\n1", "a control character in an app user"),
    BrokenArgument(parse_app_user_id, "user\ud800", "a surrogate in an app user"),
    BrokenArgument(parse_app_user_id, "u" * (_LONG + 1), "an app user that is too long"),
    BrokenArgument(parse_data_packages, (), "no packages"),
    BrokenArgument(parse_data_packages, ("Labs",), "a package in upper case"),
    BrokenArgument(parse_data_packages, "labs", "a text for packages"),
    BrokenArgument(parse_idempotency_key, "", "an empty key"),
    BrokenArgument(parse_idempotency_key, "k 1", "white space in a key"),
    BrokenArgument(parse_idempotency_key, "k" * _LONG, "a key that is too long"),
)


# --- Stored documents -----------------------------------------------------------------------


@attrs.frozen
class BrokenDocument:
    """A stored document that `load` refuses with `MalformedError`.

    Attributes:
        kind: The type to load.
        document: The document.
        defect: The change that broke a document of `dump`.
    """

    kind: type[Storable]
    document: Json
    defect: str


def broken_documents() -> st.SearchStrategy[BrokenDocument]:
    """Draw stored documents of every kind that are broken in one way each."""
    stored: st.SearchStrategy[Storable] = st.one_of(
        connections(), sessions(), bindings(), records(), log_states(), bucket_states()
    )
    return st.builds(_break_document, stored, st.sampled_from(_BREAKAGES), st.integers(0, 20))


def _break_document(
    value: Storable, breakage: tuple[str, Callable[[dict[str, Json], str], Json]], place: int
) -> BrokenDocument:
    how, change = breakage
    document = dump(value)
    member = list(document)[place % len(document)]
    return BrokenDocument(type(value), change(document, member), how)


_BREAKAGES: Final[tuple[tuple[str, Callable[[dict[str, Json], str], Json]], ...]] = (
    ("a list", lambda document, _: [document]),
    ("an unknown member", lambda document, _: {**document, "later": 1}),
    ("a flag where a value belongs", lambda document, member: {**document, member: True}),
    ("an object where a value belongs", lambda document, member: {**document, member: {"a": 1}}),
)
