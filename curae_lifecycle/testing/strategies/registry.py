"""Registration of the strategies with Hypothesis, so that `st.from_type` draws the library's types.

The law of this module: **`st.from_type` draws every public attrs class, enum and `NewType` of
`rules`, `service` and `web`** as a value that the rules can reach. It also draws every history and
run of this package, and each of their steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, cast, get_args, get_type_hints

from hypothesis import strategies as st

from curae_lifecycle.rules.access import DenialReason
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Actor, ConnectionIdentity
from curae_lifecycle.rules.outcomes import Done, Ignored, Reason
from curae_lifecycle.rules.problems import WORDING, Wording
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.triggers import RefusalReason
from curae_lifecycle.service.call import Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.facts.revoked_batch import RevokedBatch
from curae_lifecycle.service.operations.operation import Example, Ruling
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.problem_details import DETAILS, Detail
from curae_lifecycle.service.revocation import reaches_chain
from curae_lifecycle.service.rulebook import TABLES, FoundRule
from curae_lifecycle.service.snapshot import ChainPart, ConnectionsPage, Needs, Snapshot
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

_OF_VALUES: Final = (
    *(values.api_key_ids, values.api_keys, values.app_ids, values.app_user_ids, values.app_users),
    *(values.connection_ids, values.coordinates, values.customer_account_ids),
    *(values.data_package, values.idempotency_keys, values.next_actions, values.session_ids),
    *(values.key_owners, values.user_ids),
)
_WITHOUT_HISTORY: Final = (
    *(request.calls, request.callers, request.entity_tags, request.parsed_members, request.members),
    *(request.new_ids, request.parsed_bodies, request.requests, request.server_settings),
    *(record.fingerprints, record.record_keys, record.responses, record.response_references),
    *(limit.buckets, limit.exact_logs),
    outcome.problems,
)
_WITH_HISTORY: Final = (
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
    *(outcome.connection_views, outcome.notices, outcome.trigger_previews),
    outcome.refused_transitions,
    *(traffic.exchanges, traffic.traffic_runs, log.logs),
)
_BROKEN: Final = (
    *(broken.broken_arguments, broken.broken_documents, broken.broken_requests),
    log.broken_logs,
)


def register() -> None:
    """Make `st.from_type` draw the library's types with the strategies of this package.

    Afterwards `st.from_type(Connection)` draws a connection that the rules can reach. `st.builds`
    of your own class draws one for each required field of the type `Connection`.

    - `st.from_type(Done[Changes])` and `st.from_type(Ignored[Changes])` draw the answers of
      `record_fact`, which judges a fact. `Done` and `Ignored` with any other type argument, or
      none, are drawn with a `Connection` as their value.
    - Hypothesis draws enums by itself.
    - `datetime` is not registered, since it is not a type of the library.
    - `st.builds(Connection)` still combines unrelated parts; use `st.from_type(Connection)`.

    The registration holds until the process ends. A second call of `register` changes nothing.
    """
    for kind, strategy in _strategies():
        st.register_type_strategy(kind, strategy)
    st.register_type_strategy(Reason, st.sampled_from([*DenialReason, *RefusalReason]))
    st.register_type_strategy(Done, _done)
    st.register_type_strategy(Ignored, _ignored)


def _strategies() -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    yield from request.OPERATION_STRATEGIES.items()
    yield from fields.FACT_STRATEGIES.items()
    yield from _of_tables()
    yield from _of_exchanges(traffic.exchanges())
    for kind in from_traffic.FINAL_STEPS:
        yield kind, from_traffic.values_from_traffic(kind)
    yield from _of_histories()
    for strategy in (*_OF_VALUES, *_WITHOUT_HISTORY, *_WITH_HISTORY, *_BROKEN):
        yield _drawn_type(strategy), strategy()
    yield ConnectionIdentity, connection.connections().map(lambda each: each.identity)
    yield CuraeConnectSession, binding.sessions()
    yield LimitedAccountAppBinding, binding.bindings()
    yield Wording, st.sampled_from(list(WORDING.values()))
    yield Detail, st.sampled_from(list(DETAILS.values()))
    yield Example, st.sampled_from([each for kind in OPERATIONS for each in kind.examples()])
    after, limit = st.none() | values.connection_ids(), st.none() | st.integers(1, 9)
    places = st.none() | st.integers(1, 100)
    sizes = st.integers(1, 100)
    yield ChainPart, st.builds(ChainPart, sizes, places)
    yield (
        RevokedBatch,
        st.builds(
            RevokedBatch,
            connection_id=values.connection_ids(),
            actor=st.sampled_from([each for each in Actor if reaches_chain(each)]),
            happened_at=st.none() | values.instants(),
            size=sizes,
            before=places,
        ),
    )
    yield ConnectionsPage, st.builds(ConnectionsPage, values.coordinates(), after, limit)


def _of_tables() -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    # The rules themselves are the values: a strategy cannot make up a row or an axis.
    rows = [(table, row) for table in TABLES.values() for row in table.rows]
    parts: list[object] = [axis for table in TABLES.values() for axis in table.axes]
    for table, row in rows:
        parts += [row, row.outcome, FoundRule(table, row)]
    for kind in dict.fromkeys(map(type, parts)):
        yield kind, st.sampled_from([each for each in parts if type(each) is kind])


def _of_histories() -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    # Each step is the last one of a history.
    yield connection.ConnectionStep, _last_steps(connection.connection_histories())
    yield binding.CoordinateStep, _last_steps(binding.coordinate_histories())
    yield record.RecordStep, _last_steps(record.record_histories())


class _History(Protocol):
    @property
    def steps(self) -> Sequence[object]: ...


def _last_steps(histories: st.SearchStrategy[_History]) -> st.SearchStrategy[object]:
    return histories.filter(lambda each: bool(each.steps)).map(lambda each: each.steps[-1])


def _of_exchanges(
    exchanges: st.SearchStrategy[traffic.Exchange],
) -> Iterator[tuple[type, st.SearchStrategy[object]]]:
    decisions = exchanges.map(lambda each: each.decision)
    yield Needs, exchanges.map(lambda each: each.needs)
    yield Snapshot, exchanges.map(lambda each: each.snapshot)
    yield Decision, decisions
    yield Ruling, decisions.map(lambda each: Ruling(each.reply, each.rules, each.changes))
    yield Answer, exchanges.map(lambda each: each.answer)
    yield Changes, exchanges.map(lambda each: each.answer.changes)


def _drawn_type(strategy: Callable[[], st.SearchStrategy[object]]) -> type:
    # The return annotation, such as `SearchStrategy[Connection]`, names the drawn type.
    kind: object = get_args(get_type_hints(strategy)["return"])[0]
    return cast("type", getattr(kind, "__origin__", kind))


def _done(asked: type[Done[object]]) -> st.SearchStrategy[Done[object]]:
    of_changes = Changes in get_args(asked)
    return from_traffic.done_facts() if of_changes else outcome.done_transitions()


def _ignored(asked: type[Ignored[object]]) -> st.SearchStrategy[Ignored[object]]:
    of_changes = Changes in get_args(asked)
    return from_traffic.ignored_facts() if of_changes else outcome.ignored_transitions()
