"""Which strategy draws which type.

The law of this module: **every public type of `rules`, `service` and `web` is drawn by
`st.from_type`**, and as a value that the rules can reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from hypothesis import strategies as st

from curae_lifecycle.rules.access import Denied, Granted
from curae_lifecycle.rules.attempt import LeaseLost
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.chain import Minted, Reissued
from curae_lifecycle.rules.connection import Connection, ConnectionIdentity
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.idempotency import (
    Attempt,
    Fingerprint,
    IdempotencyKey,
    KnownResponse,
    Record,
    RecordKey,
)
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.problems import Problem
from curae_lifecycle.rules.ratelimit import (
    Admitted,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    Limited,
    LogState,
)
from curae_lifecycle.rules.session import CuraeConnectSession, Initiated, Landing
from curae_lifecycle.rules.tables import Axis, Row
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUser,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    NextAction,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.members import EntityTags, Given, Member
from curae_lifecycle.service.operations.operation import Ruling
from curae_lifecycle.service.response import Response, ResponseReference
from curae_lifecycle.service.rulebook import FoundRule
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import Needs, NewIds, Snapshot
from curae_lifecycle.testing.strategies import (
    binding,
    broken,
    connection,
    fact,
    limit,
    log,
    outcome,
    record,
    request,
    table,
    turns,
    values,
    within,
)
from curae_lifecycle.web.request import ParsedBody, Request
from curae_lifecycle.web.respond import Answer


def register() -> None:
    """Let `st.from_type` draw the library's types with the strategies beside, everywhere.

    From then on `st.from_type(Connection)` draws a reachable connection, and so does
    `st.builds` of anything of yours that has one as a member. Enums need no help: Hypothesis
    draws their members. `Done` and `Ignored` know of which type they are asked: a connection
    (also where nothing is said) or changes. The registration is global to the process and
    stays; calling it again changes nothing. `datetime` is left alone: it is not the library's
    type. `st.builds(Connection)` itself still puts a connection together from parts that do not
    know each other; ask for the type instead.
    """
    # Hypothesis takes a NewType here; pyright does not see one as a type.
    st.register_type_strategy(ApiKeyId, values.api_key_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(AppId, values.app_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(AppUserId, values.app_user_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(ConnectionId, values.connection_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(CustomerAccountId, values.customer_account_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(DataPackage, values.data_package())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(IdempotencyKey, values.idempotency_keys())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(SessionId, values.session_ids())  # pyright: ignore[reportArgumentType]
    st.register_type_strategy(UserId, values.user_ids())  # pyright: ignore[reportArgumentType]
    for kind, strategy in _strategies():
        st.register_type_strategy(kind, strategy)
    st.register_type_strategy(Done, _done)
    st.register_type_strategy(Ignored, _ignored)


def _strategies() -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    yield from request.OPERATION_STRATEGIES.items()
    yield from fact.FACT_STRATEGIES.items()
    for verdict in table.VERDICTS:
        yield verdict, table.verdicts(verdict)
    for kind in within.ENDINGS:
        yield kind, within.in_traffic(kind)
    yield from _plain()
    yield from _with_a_past()
    yield from _broken()


def _plain() -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    yield ApiKey, values.api_keys()
    yield AppUser, values.app_users()
    yield Axis, table.axes()
    yield Bucket, limit.buckets()
    yield Call, request.calls()
    yield Caller, request.callers()
    yield Coordinate, values.coordinates()
    yield EntityTags, request.entity_tags()
    yield ExactLog, limit.exact_logs()
    yield FoundRule, table.found_rules()
    yield Given, request.given()
    yield Member, request.members()
    yield Fingerprint, record.fingerprints()
    yield NewIds, request.new_ids()
    yield NextAction, values.next_actions()
    yield ParsedBody, request.parsed_bodies()
    yield Problem, fact.problems()
    yield RecordKey, record.record_keys()
    yield Request, request.requests()
    yield Response, record.responses()
    yield ResponseReference, record.response_references()
    yield Row, table.rows()
    yield Settings, request.server_settings()


def _with_a_past() -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    yield Admitted, limit.admissions()
    yield Answer, within.answers()
    yield Attempt, record.attempts()
    yield BucketState, limit.bucket_states()
    yield Changes, within.changes()
    yield Charge, limit.charges()
    yield Connection, connection.connections()
    yield ConnectionIdentity, connection.connections().map(lambda each: each.identity)
    yield CuraeConnectSession, binding.sessions()
    yield Decision, within.decisions()
    yield Denied, outcome.denials()
    yield Granted, outcome.grants()
    yield Initiated, outcome.initiations()
    yield Landing, outcome.landings()
    yield LeaseLost, outcome.lost_leases()
    yield LimitedAccountAppBinding, binding.bindings()
    yield Limited, limit.limitations()
    yield LogState, limit.log_states()
    yield Minted, outcome.minted()
    yield Needs, within.request_needs()
    yield Record, record.records()
    yield Refused, outcome.refused_transitions()
    yield Reissued, outcome.reissued()
    yield KnownResponse, outcome.replays()
    yield Ruling, within.rulings()
    yield Snapshot, within.snapshots()
    yield binding.CoordinatePast, binding.coordinate_pasts()
    yield connection.History, connection.histories()
    yield log.Log, log.logs()
    yield record.RecordPast, record.record_pasts()
    yield turns.Exchange, turns.exchanges()
    yield turns.Traffic, turns.traffic()


def _broken() -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    yield broken.BrokenArgument, broken.broken_arguments()
    yield broken.BrokenDocument, broken.broken_documents()
    yield broken.BrokenRequest, broken.broken_requests()
    yield log.BrokenLog, log.broken_logs()


def _done(asked: type[Done[object]]) -> st.SearchStrategy[Done[object]]:
    if Changes in get_args(asked):
        return within.done_facts()
    return outcome.done_transitions()


def _ignored(asked: type[Ignored[object]]) -> st.SearchStrategy[Ignored[object]]:
    if Changes in get_args(asked):
        return within.ignored_facts()
    return outcome.ignored_transitions()
