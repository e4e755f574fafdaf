"""Callers, operations and the requests that ask for them.

The law of this module: **a drawn request reads as the call that it was printed from**.
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
from curae_lifecycle.web.json import Json, format_json, parse_json
from curae_lifecycle.web.request import ParsedBody, Request
from curae_lifecycle.web.wire_format import to_camel_case

OPERATION_STRATEGIES: Final[dict[type[Operation], st.SearchStrategy[Operation]]] = {
    kind: build_from_fields(kind) for kind in OPERATIONS
}
"""The strategy of each operation."""


def members() -> st.SearchStrategy[Member[object]]:
    """Draw members of operations and facts."""
    of_facts = [member for kind in FACTS for member in kind.members]
    of_operations = [member for kind in OPERATIONS for member in kind.rule.members]
    return st.sampled_from([*of_operations, *of_facts])


def parsed_members() -> st.SearchStrategy[ParsedMembers]:
    """Draw the parsed members of operations of every kind."""
    return operations().map(_parsed)


def entity_tags() -> st.SearchStrategy[EntityTags]:
    """Draw the entity tags that a client holds: of account states, none, or `*`."""
    tags = st.frozensets(st.sampled_from([etag(state) for state in AccountState]))
    return st.builds(EntityTags, tags, st.booleans())


def _parsed(operation: Operation) -> ParsedMembers:
    sent = _member_values(operation)
    return ParsedMembers({each.name: sent[each.name] for each in operation.rule.members})


def _member_values(operation: Operation) -> dict[str, Json]:
    return {to_camel_case(name): getattr(operation, name) for name in operation.__match_args__}


def scopes() -> st.SearchStrategy[frozenset[str]]:
    """Draw the scopes of an API key: to write, or none."""
    return st.sampled_from((frozenset({CONNECTION_WRITE}), frozenset[str]()))


def callers() -> st.SearchStrategy[Caller]:
    """Draw callers of API keys."""
    return st.builds(
        Caller,
        values.api_key_ids(),
        values.app_ids(),
        values.customer_account_ids(),
        values.environments(),
        scopes(),
    )


def operations() -> st.SearchStrategy[Operation]:
    """Draw operations of every kind."""
    return st.one_of(*OPERATION_STRATEGIES.values())


def callers_with_write_scope() -> st.SearchStrategy[Caller]:
    """Draw callers that may run every operation."""
    return callers().map(lambda caller: attrs.evolve(caller, scopes=frozenset({CONNECTION_WRITE})))


def calls() -> st.SearchStrategy[Call]:
    """Draw calls of a caller that may run the operation, with a key if the operation needs one."""
    return st.builds(call_of, callers_with_write_scope(), operations(), values.idempotency_keys())


def new_ids() -> st.SearchStrategy[NewIds]:
    """Draw the ids and the next action of a mutation at `START`."""
    return st.builds(
        NewIds,
        values.connection_ids(),
        values.session_ids(),
        st.just(values.user_of(99)),
        values.next_actions(),
    )


def server_settings() -> st.SearchStrategy[Settings]:
    """Draw the settings of a server."""
    return st.builds(
        Settings,
        st.sampled_from((None, *Environment)),
        st.lists(buckets(), max_size=2, unique_by=lambda bucket: bucket.name).map(tuple),
        st.just("https://example.com/problems/"),
        st.sampled_from(("ACTIVE", "AUTHORIZED")),
    )


def requests() -> st.SearchStrategy[Request]:
    """Draw well-formed requests of every operation; a caller that may run it gets a `Call`."""
    return st.builds(
        format_request, calls(), st.sampled_from(("Bearer cae_live_k1", "Bearer cae_test_k1"))
    )


def parsed_bodies() -> st.SearchStrategy[ParsedBody]:
    """Draw bodies that a framework has parsed."""
    creates = st.builds(CreateConnection, values.app_user_ids(), values.data_packages())
    asked = st.builds(call_of, callers_with_write_scope(), creates, values.idempotency_keys())
    return asked.map(
        lambda call: ParsedBody(parse_json(as_bytes(format_request(call, "Bearer cae_live_k1"))))
    )


def format_request(call: Call, authorization: str) -> Request:
    """Return the request that reads as a call.

    Args:
        call: The call.
        authorization: The value of the `Authorization` header.
    """
    operation, rule = call.operation, call.operation.rule
    sent = _member_values(operation)
    headers = [("Authorization", authorization)]
    if call.key is not None:
        escaped = call.key.replace("\\", "\\\\").replace('"', '\\"')
        headers.append(("Idempotency-Key", f'"{escaped}"'))
    target = rule.path
    for each in rule.ids:
        target = target.replace(f"{{{each.name}}}", quote(str(sent[each.name])))
    queried = _present(rule.query, sent)
    if queried:
        target += "?" + urlencode({name: query_text(value) for name, value in queried.items()})
    if isinstance(operation, GetAccountState) and operation.cached_states:
        tags = ", ".join(etag(state) for state in sorted(operation.cached_states))
        headers.append(("If-None-Match", tags))
    return Request(
        method=rule.method,
        target=target,
        headers=tuple(headers),
        body=format_json(_present(rule.body, sent)) if rule.body else b"",
    )


def _present(members: tuple[Member[object], ...], sent: dict[str, Json]) -> dict[str, Json]:
    # A member with its default value is left out.
    return {each.name: sent[each.name] for each in members if sent[each.name] != each.default}


def call_of(caller: Caller, operation: Operation, key: IdempotencyKey) -> Call:
    """Return the call of an operation.

    Args:
        caller: The caller.
        operation: The operation.
        key: The idempotency key; it is left out if the operation takes none.
    """
    return Call(caller, operation, key if operation.rule.key is KeyUse.NEEDED else None)


def as_bytes(request: Request) -> bytes:
    """Return the body of a request of `format_request`."""
    # It writes bytes; the type allows more.
    return request.body if isinstance(request.body, bytes) else b"{}"
