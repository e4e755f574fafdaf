"""Which strategy draws which type.

The law of this module: **every public type of `rules`, `service` and `web` is drawn by
`st.from_type`**, and as a value that the rules can reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, cast, get_args, get_type_hints

from hypothesis import strategies as st

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import ConnectionIdentity
from curae_lifecycle.rules.outcomes import Done, Ignored
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.operations.operation import Ruling
from curae_lifecycle.service.rulebook import TABLES, FoundRule
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.testing.strategies import (
    binding,
    broken,
    connection,
    fields,
    from_traffic,
    limit,
    log,
    outcome,
    record,
    request,
    traffic,
    values,
)
from curae_lifecycle.web.respond import Answer

_SMALL: Final = (
    *(values.api_key_ids, values.api_keys, values.app_ids, values.app_user_ids, values.app_users),
    *(values.connection_ids, values.coordinates, values.customer_account_ids),
    *(values.data_package, values.idempotency_keys, values.next_actions, values.session_ids),
    *(values.key_owners, values.user_ids),
)
_PLAIN: Final = (
    *(request.calls, request.callers, request.entity_tags, request.parsed_members, request.members),
    *(request.new_ids, request.parsed_bodies, request.requests, request.server_settings),
    *(record.fingerprints, record.record_keys, record.responses, record.response_references),
    *(limit.buckets, limit.exact_logs),
    outcome.problems,
)
_WITH_A_PAST: Final = (
    *(
        limit.admissions,
        limit.bucket_states,
        limit.charges,
        limit.limit_refusals,
        limit.limits_left,
    ),
    limit.log_states,
    *(connection.connections, connection.connection_histories, binding.coordinate_histories),
    *(record.attempts, record.records, record.record_histories),
    *(outcome.denials, outcome.grants, outcome.initiations, outcome.landings),
    *(outcome.lost_leases, outcome.minted, outcome.reissued, outcome.replays),
    *(outcome.notices, outcome.trigger_previews, outcome.refused_transitions),
    *(traffic.exchanges, traffic.traffic_runs, log.logs),
)
_BROKEN: Final = (
    *(broken.broken_arguments, broken.broken_documents, broken.broken_requests),
    log.broken_logs,
)


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
    for kind, strategy in _strategies():
        st.register_type_strategy(kind, strategy)
    st.register_type_strategy(Done, _done)
    st.register_type_strategy(Ignored, _ignored)


def _strategies() -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    yield from request.OPERATION_STRATEGIES.items()
    yield from fields.FACT_STRATEGIES.items()
    yield from _in_tables()
    yield from _in_exchanges(traffic.exchanges())
    for kind in from_traffic.FINAL_STEPS:
        yield kind, from_traffic.values_from_traffic(kind)
    for strategy in (*_SMALL, *_PLAIN, *_WITH_A_PAST, *_BROKEN):
        yield _drawn(strategy), strategy()
    yield ConnectionIdentity, connection.connections().map(lambda each: each.identity)
    yield CuraeConnectSession, binding.sessions()
    yield LimitedAccountAppBinding, binding.bindings()


def _in_tables() -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    # The rules as values: none is made up.
    rows = [(table, row) for table in TABLES.values() for row in table.rows]
    held: list[object] = [axis for table in TABLES.values() for axis in table.axes]
    for table, row in rows:
        held += [row, row.outcome, FoundRule(table, row)]
    for kind in dict.fromkeys(map(type, held)):
        yield kind, st.sampled_from([each for each in held if type(each) is kind])


def _in_exchanges(
    exchanges: st.SearchStrategy[traffic.Exchange],
) -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    decisions = exchanges.map(lambda each: each.decision)
    yield Needs, exchanges.map(lambda each: each.needs)
    yield Snapshot, exchanges.map(lambda each: each.snapshot)
    yield Decision, decisions
    yield Ruling, decisions.map(lambda each: Ruling(each.reply, each.rules, each.changes))
    yield Answer, exchanges.map(lambda each: each.answer)
    yield Changes, exchanges.map(lambda each: each.answer.changes)


def _drawn(strategy: Callable[[], st.SearchStrategy[object]]) -> type:
    # What a strategy draws stands in its annotation: SearchStrategy[Connection].
    kind: object = get_args(get_type_hints(strategy)["return"])[0]
    return cast("type", getattr(kind, "__origin__", kind))


def _done(asked: type[Done[object]]) -> st.SearchStrategy[Done[object]]:
    of_changes = Changes in get_args(asked)
    return from_traffic.done_facts() if of_changes else outcome.done_transitions()


def _ignored(asked: type[Ignored[object]]) -> st.SearchStrategy[Ignored[object]]:
    of_changes = Changes in get_args(asked)
    return from_traffic.ignored_facts() if of_changes else outcome.ignored_transitions()
