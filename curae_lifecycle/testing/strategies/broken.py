"""Strategies for invalid requests, arguments and stored documents.

The law of this module: **each invalid value names its defect and the expected error**. A request
names the problem code. Each argument raises `ArgumentError`, each document `MalformedError`. Apart
from the broken logs of `log`, no other strategy draws an invalid value.
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
    NextAction,
    check_instant,
    parse_app_user_id,
    parse_data_packages,
    parse_uuid,
)
from curae_lifecycle.service.hosted_page import HostedPage, PageKind, url_digest
from curae_lifecycle.service.json_schema import Json
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
    body_bytes,
    call_of,
    callers,
    callers_with_write_scope,
    format_request,
    operations,
)
from curae_lifecycle.web.request import Request


@attrs.frozen
class BrokenRequest:
    """An invalid request, which every server must refuse.

    Attributes:
        request: The request.
        defect: The change that made a well-formed request invalid.
        expected_code: The problem code that a server must return, if the request's caller has the
            scope `connection:write` and an environment that the server serves.
    """

    request: Request
    defect: str
    expected_code: ProblemCode


_BEARER: Final = "Bearer cae_live_k1"
_API_KEY: Final = "Authorization"
_KEY: Final = "Idempotency-Key"


def broken_requests() -> st.SearchStrategy[BrokenRequest]:
    """Draw invalid requests, each with one named defect and the expected problem code.

    Without its defect, each would be a well-formed request, as the strategy `requests` draws them.
    """
    anything = operations()
    creates = st.builds(CreateConnection, values.app_user_ids(), values.data_packages())
    graduation = st.builds(StartGraduation, values.app_user_ids())
    get = st.builds(GetConnection, values.connection_ids())
    bad, not_found = ProblemCode.BAD_REQUEST, ProblemCode.NOT_FOUND
    invalid, required = ProblemCode.IDEMPOTENCY_KEY_INVALID, ProblemCode.IDEMPOTENCY_KEY_REQUIRED
    not_allowed = ProblemCode.IDEMPOTENCY_KEY_NOT_ALLOWED
    no_caller = ProblemCode.UNAUTHENTICATED
    breakages: tuple[_Breakage, ...] = (
        (anything, "no credentials", _with_header(_API_KEY), no_caller),
        (anything, "two credentials", _with_header(_API_KEY, _BEARER, _BEARER), no_caller),
        (anything, "unknown method", lambda r: attrs.evolve(r, method="PUT"), not_found),
        (anything, "unknown path", lambda r: attrs.evolve(r, target="/nowhere"), not_found),
        (get, "malformed id", lambda r: attrs.evolve(r, target=r.target[:-1]), bad),
        (creates, "no JSON", lambda r: attrs.evolve(r, body=body_bytes(r) + b"}"), bad),
        (creates, "no object", lambda r: attrs.evolve(r, body=b"[]"), bad),
        (creates, "unknown member", lambda r: _with_member(r, b'"preferSignUp":true'), bad),
        (creates, "repeated member", lambda r: _with_member(r, b'"appUserId":"user-1"'), bad),
        (creates, "null member", lambda r: attrs.evolve(r, body=b'{"appUserId":null}'), bad),
        (creates, "missing member", lambda r: attrs.evolve(r, body=b"{}"), bad),
        (creates, "no key", _with_header(_KEY), required),
        (creates, "two keys", _with_header(_KEY, "k-1", "k-1"), invalid),
        (creates, "an unclosed key", _with_header(_KEY, '"k-1'), invalid),
        (
            graduation,
            "a key for an operation that takes none",
            _with_header(_KEY, "k-1"),
            not_allowed,
        ),
    )
    return st.one_of(*map(_broken_request, breakages))


_Breakage = tuple[st.SearchStrategy[Operation], str, Callable[[Request], Request], ProblemCode]
"""The operations of valid requests, the defect, the change that makes it, and the expected code."""


def _broken_request(breakage: _Breakage) -> st.SearchStrategy[BrokenRequest]:
    operation, defect, change, code = breakage
    calls = st.builds(call_of, callers_with_write_scope(), operation, values.idempotency_keys())
    return calls.map(
        lambda call: BrokenRequest(change(format_request(call, _BEARER)), defect, code)
    )


def _with_header(name: str, *texts: str) -> Callable[[Request], Request]:
    # The request gets one header of this name for each text, and loses those that it had.
    def change(request: Request) -> Request:
        others = (pair for pair in request.headers if pair[0] != name)
        return attrs.evolve(request, headers=(*others, *((name, text) for text in texts)))

    return change


def _with_member(request: Request, member: bytes) -> Request:
    # The body must be an object with members, so that a comma may follow the new one.
    return attrs.evolve(request, body=b"{" + member + b"," + body_bytes(request)[1:])


# --- Arguments ------------------------------------------------------------------------------


@attrs.frozen
class BrokenArgument:
    """An invalid argument: `parse(value)` raises `ArgumentError`.

    Attributes:
        parse: The function that must refuse the value.
        value: The invalid value.
        defect: What is wrong with the value.
    """

    parse: Callable[[object], object]
    value: object
    defect: str


def broken_arguments() -> st.SearchStrategy[BrokenArgument]:
    """Draw invalid arguments, each with one named defect.

    They are instants, UUIDs, app user IDs, data packages and idempotency keys.
    """
    return st.sampled_from(_ARGUMENTS)


def _parse_instant(value: object) -> None:
    assert isinstance(value, datetime)  # noqa: S101 - broken instants are of the right type
    check_instant("now", value)


def _parse_id(value: object) -> str:
    return parse_uuid("id", value)


_ARGUMENTS: Final = (
    BrokenArgument(_parse_instant, values.START.replace(tzinfo=None), "a naive instant"),
    BrokenArgument(
        _parse_instant, values.START.astimezone(timezone(timedelta(hours=1))), "another offset"
    ),
    BrokenArgument(_parse_id, values.uuid_of(1).replace("-", ""), "a UUID without hyphens"),
    BrokenArgument(_parse_id, f"{{{values.uuid_of(1)}}}", "a UUID in braces"),
    BrokenArgument(_parse_id, 1, "a number instead of an ID"),
    BrokenArgument(parse_app_user_id, "", "an empty app user"),
    BrokenArgument(parse_app_user_id, " user-1", "white space before an app user"),
    BrokenArgument(parse_app_user_id, "user-1\u00a0", "white space after an app user"),
    BrokenArgument(parse_app_user_id, "user\n1", "a control character in an app user"),
    BrokenArgument(parse_app_user_id, "user\ud800", "a surrogate in an app user"),
    BrokenArgument(parse_app_user_id, "u" * 257, "an app user of 257 characters"),
    BrokenArgument(parse_data_packages, (), "no packages"),
    BrokenArgument(parse_data_packages, ("Labs",), "a package in upper case"),
    BrokenArgument(parse_data_packages, "labs", "a string instead of a list of packages"),
    BrokenArgument(parse_idempotency_key, "", "an empty key"),
    BrokenArgument(parse_idempotency_key, "k 1", "white space in a key"),
    BrokenArgument(parse_idempotency_key, "k" * 256, "a key of 256 characters"),
)


# --- Stored documents -----------------------------------------------------------------------


@attrs.frozen
class BrokenDocument:
    """An invalid stored document: `load(kind, document)` of `stores.codec` raises `MalformedError`.

    A stored document is the JSON object that a store keeps for a value.

    Attributes:
        kind: The class of the value that `dump` of `stores.codec` made the valid document from.
        document: The invalid document.
        defect: The change that made the valid document invalid.
    """

    kind: type[Storable]
    document: Json
    defect: str


def broken_documents() -> st.SearchStrategy[BrokenDocument]:
    """Draw invalid stored documents of every class, each with one named defect.

    The classes are those of connections, sessions, bindings, idempotency records, rate limits'
    states, callers and hosted pages.
    """
    stored: st.SearchStrategy[Storable] = st.one_of(
        connections(),
        sessions(),
        bindings(),
        records(),
        log_states(),
        bucket_states(),
        callers(),
        _hosted_pages(),
    )
    return st.builds(_break_document, stored, st.sampled_from(_BREAKAGES), st.integers(0, 20))


def _hosted_pages() -> st.SearchStrategy[HostedPage]:
    kinds = st.sampled_from([PageKind.CONNECTION, PageKind.SESSION])
    return st.builds(_hosted_page, values.next_actions(), kinds, values.uuids())


def _hosted_page(action: NextAction, kind: PageKind, subject: str) -> HostedPage:
    return HostedPage(
        digest=url_digest(action.url), kind=kind, subject=subject, expires_at=action.expires_at
    )


def _break_document(
    value: Storable, breakage: tuple[str, Callable[[dict[str, Json], str], Json]], place: int
) -> BrokenDocument:
    defect, change = breakage
    document = dump(value)
    member = list(document)[place % len(document)]
    return BrokenDocument(type(value), change(document, member), defect)


def _with_other_type(document: dict[str, Json], member: str) -> Json:
    # Python takes a boolean for the number 1, and the number for the boolean.
    other: Json = 1 if isinstance(document[member], bool) else True
    return {**document, member: other}


_BREAKAGES: Final[tuple[tuple[str, Callable[[dict[str, Json], str], Json]], ...]] = (
    ("a list", lambda document, _: [document]),
    ("an unknown member", lambda document, _: {**document, "later": 1}),
    ("a value of another type", _with_other_type),
    ("an object instead of a value", lambda document, member: {**document, member: {"a": 1}}),
)
