"""Strategies for callers, operations and the requests for them.

The law of this module: **`read` turns each drawn request into the call that it was printed from**.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

import attrs
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import EntityTags, Member, ParsedMembers
from curae_lifecycle.service.operations.account_state import GetAccountState, etag
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.operation import KeyUse, Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import NewIds
from curae_lifecycle.testing.factories import query_text
from curae_lifecycle.testing.strategies import values
from curae_lifecycle.testing.strategies.fields import build_from_fields
from curae_lifecycle.testing.strategies.limit import buckets
from curae_lifecycle.web.json import format_json, parse_json
from curae_lifecycle.web.request import ParsedBody, Request
from curae_lifecycle.web.wire_format import to_camel_case

OPERATION_STRATEGIES: Final[dict[type[Operation], st.SearchStrategy[Operation]]] = {
    kind: build_from_fields(kind) for kind in OPERATIONS
}
"""For each class of operations, the strategy that draws them."""


def members() -> st.SearchStrategy[Member[object]]:
    """Draw definitions of members, the named values that operations and facts are parsed from."""
    of_facts = [member for kind in FACTS for member in kind.members]
    of_operations = [member for kind in OPERATIONS for member in kind.rule.members]
    return st.sampled_from([*of_operations, *of_facts])


def parsed_members() -> st.SearchStrategy[ParsedMembers]:
    """Draw the parsed members of a request for any operation.

    A member is a named value on the wire, such as `appUserId`. No request has an `If-None-Match`.
    """
    return operations().map(_parsed_members)


def entity_tags() -> st.SearchStrategy[EntityTags]:
    """Draw the entity tags of an `If-None-Match` header.

    They are the tags of any set of account states, even of none. In half of the draws the header
    also holds `*`, which matches every tag.
    """
    tags = st.frozensets(st.sampled_from([etag(state) for state in AccountState]))
    return st.builds(EntityTags, tags, st.booleans())


def _parsed_members(operation: Operation) -> ParsedMembers:
    wire_values = _wire_values(operation)
    return ParsedMembers({each.name: wire_values[each.name] for each in operation.rule.members})


def _wire_values(operation: Operation) -> dict[str, Json]:
    return {to_camel_case(name): getattr(operation, name) for name in operation.__match_args__}


def scopes() -> st.SearchStrategy[frozenset[str]]:
    """Draw the scopes of an API key: `connection:write` alone, or no scope."""
    return st.sampled_from((frozenset({CONNECTION_WRITE}), frozenset[str]()))


def callers() -> st.SearchStrategy[Caller]:
    """Draw callers; about half lack the scope `connection:write`."""
    return st.builds(
        Caller,
        values.api_key_ids(),
        values.app_ids(),
        values.customer_account_ids(),
        values.environments(),
        scopes(),
    )


def operations() -> st.SearchStrategy[Operation]:
    """Draw operations of every class; their IDs are arbitrary, not those of any store."""
    return st.one_of(*OPERATION_STRATEGIES.values())


def callers_with_write_scope() -> st.SearchStrategy[Caller]:
    """Draw callers with the scope `connection:write`, who may run every operation."""
    return callers().map(lambda caller: attrs.evolve(caller, scopes=frozenset({CONNECTION_WRITE})))


def calls() -> st.SearchStrategy[Call]:
    """Draw calls, requests in their parsed form: a caller, an operation, an idempotency key.

    The caller has the scope `connection:write`. The key is `None` for operations that take no
    idempotency key. The settings are the default.
    """
    return st.builds(call_of, callers_with_write_scope(), operations(), values.idempotency_keys())


def new_ids() -> st.SearchStrategy[NewIds]:
    """Draw the unused IDs and the next action that a request at `START` may need.

    The new user is always `u-99`.
    """
    return st.builds(
        NewIds,
        values.connection_ids(),
        values.session_ids(),
        st.just(values.user_of(99)),
        values.next_actions(),
    )


def server_settings() -> st.SearchStrategy[Settings]:
    """Draw server settings with at most two buckets.

    The served environment and the spelling of ACTIVE are any that `Settings` allows. The other
    settings are the same in every draw.
    """
    return st.builds(
        Settings,
        st.sampled_from((None, *Environment)),
        st.lists(buckets(), max_size=2, unique_by=lambda bucket: bucket.name).map(tuple),
        st.just("https://example.com/problems/"),
        st.sampled_from(("ACTIVE", "AUTHORIZED")),
    )


def requests() -> st.SearchStrategy[Request]:
    """Draw well-formed HTTP requests for every operation.

    `read` of `web.read` parses each of them to a `Call`, if the caller passed to `read` has the
    scope `connection:write`.
    """
    return st.builds(
        format_request, calls(), st.sampled_from(("Bearer cae_live_k1", "Bearer cae_test_k1"))
    )


def parsed_bodies() -> st.SearchStrategy[ParsedBody]:
    """Draw bodies of create-connection requests that a web framework has already parsed."""
    creates = st.builds(CreateConnection, values.app_user_ids(), values.data_packages())
    create_calls = st.builds(
        call_of, callers_with_write_scope(), creates, values.idempotency_keys()
    )
    return create_calls.map(
        lambda call: ParsedBody(parse_json(body_bytes(format_request(call, "Bearer cae_live_k1"))))
    )


def format_request(call: Call, authorization: str) -> Request:
    """Format a call, a request in its parsed form, as the HTTP request that an app sends.

    `read` of `web.read` turns the request back into an equal call, if it gets the same caller.

    Args:
        call: The call.
        authorization: The value of the `Authorization` header.
    """
    operation, rule = call.operation, call.operation.rule
    wire_values = _wire_values(operation)
    headers = [("Authorization", authorization)]
    if call.key is not None:
        escaped = call.key.replace("\\", "\\\\").replace('"', '\\"')
        headers.append(("Idempotency-Key", f'"{escaped}"'))
    target = rule.path
    for each in rule.ids:
        target = target.replace(f"{{{each.name}}}", quote(str(wire_values[each.name])))
    query = _present_members(rule.query, wire_values)
    if query:
        target += "?" + urlencode({name: query_text(value) for name, value in query.items()})
    if isinstance(operation, GetAccountState) and operation.cached_states:
        tags = ", ".join(etag(state) for state in sorted(operation.cached_states))
        headers.append(("If-None-Match", tags))
    return Request(
        method=rule.method,
        target=target,
        headers=tuple(headers),
        body=format_json(_present_members(rule.body, wire_values)) if rule.body else b"",
    )


def _present_members(
    members: tuple[Member[object], ...], wire_values: dict[str, Json]
) -> dict[str, Json]:
    # An absent member means its default, so a member with its default is left out.
    return {
        each.name: wire_values[each.name]
        for each in members
        if wire_values[each.name] != each.default
    }


def call_of(caller: Caller, operation: Operation, key: IdempotencyKey) -> Call:
    """Return a call, a request in its parsed form, with a caller, an operation and a key.

    The settings of the call are the default.

    Args:
        caller: The caller.
        operation: The operation.
        key: The idempotency key; ignored if the operation takes none.
    """
    return Call(caller, operation, key if operation.rule.key is KeyUse.NEEDED else None)


def body_bytes(request: Request) -> bytes:
    """Return the body of a request from `format_request`, which is always bytes."""
    # No such request has a `ParsedBody`.
    return request.body if isinstance(request.body, bytes) else b"{}"
