"""Strategies for traffic: requests, facts and access questions in time order, with their answers.

The law of this module: **a run of traffic is a list of independent steps, played in time order**
against one store. Each request is loaded, decided, answered and committed as in a server. The rules
have therefore reached every drawn snapshot, decision and answer. A counterexample shrinks to the
steps that matter. No request and no fact is malformed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, product
from typing import Final, TypeVar, cast

import attrs
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from curae_lifecycle.rules.access import AccessDecision, decide_access
from curae_lifecycle.rules.binding import AccountState, present_era
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.idempotency import IdempotencyKey
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import (
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    DataPackage,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service.call import Call, Decision
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.effects import UserProvisioned
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer, record_fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.service.hosted_page import HostedPage, PageKind
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.create_connection import CreateConnection
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.graduation_handoff import StartGraduation
from curae_lifecycle.service.operations.initiate import Initiate
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import LandedHandoff, Needs, NewIds, Snapshot
from curae_lifecycle.service.writes import ConnectionWrite, SessionWrite
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.hosted_pages import hosted_page_for
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.factories import build, can_build
from curae_lifecycle.testing.strategies import values
from curae_lifecycle.testing.strategies.connection import FACT_TEMPLATES, FactTemplate
from curae_lifecycle.testing.strategies.request import call_of, format_request
from curae_lifecycle.testing.strategies.values import NEXT_ACTION_LIFETIME, START
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer, respond

Known = TypeVar("Known")

# --- What happened --------------------------------------------------------------------------


class Terse:
    """A base class for values that Hypothesis prints briefly, by their `repr`.

    Hypothesis would otherwise print every field, and a counterexample would be too long to read.
    """

    __slots__ = ()

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:  # noqa: FBT001 - its caller's
        del cycle
        printer.text(repr(self))


def _last_rule(answer: Answer | FactAnswer) -> str:
    return answer.rules[-1]


def _asked(call: Call) -> str:
    return f"{call.operation} by {call.caller.api_key_id} under {call.key}"


@attrs.frozen
class Exchange(Terse):
    """A request with its answer, and the values from which the answer was decided.

    Attributes:
        now: The instant of the request.
        request: The HTTP request.
        call: The call that `read` of `web.read` makes of the request.
        needs: The names of the values to load for the call: `call.needs`.
        snapshot: The values loaded for `needs`. In some gets it also has a `landed_handoff`: an
            authorization that the server knows, but that no fact has recorded.
        new_ids: The new IDs and the next action that the decision could use.
        decision: The decision of `decide` on the call.
        answer: The response, with the changes that were committed.
    """

    now: datetime
    request: Request = attrs.field(repr=False)
    call: Call = attrs.field(repr=_asked)
    # A counterexample is easier to read without the values that follow from the others.
    needs: Needs = attrs.field(repr=False)
    snapshot: Snapshot = attrs.field(repr=False)
    new_ids: NewIds = attrs.field(repr=False)
    decision: Decision = attrs.field(repr=False)
    answer: Answer = attrs.field(repr=_last_rule)


@attrs.frozen
class RecordedFact(Terse):
    """A fact with the values loaded for it, and its answer.

    A refused or ignored fact changed nothing.

    Attributes:
        now: The instant at which the fact was recorded.
        fact: The fact.
        needs: The names of the values to load for the fact: `fact.needs()`.
        snapshot: The values loaded for `needs`.
        answer: The answer of the rules to the fact.
    """

    now: datetime
    fact: Fact
    needs: Needs = attrs.field(repr=False)
    snapshot: Snapshot = attrs.field(repr=False)
    answer: FactAnswer = attrs.field(repr=_last_rule)


@attrs.frozen
class AccessQuestion(Terse):
    """The question whether a data package may be read over a stored connection, with its answer.

    Attributes:
        now: The instant of the question.
        connection: The connection as it was stored at that instant.
        package: The data package to read.
        answer: The access decision.
    """

    now: datetime
    connection: Connection = attrs.field(repr=False)
    package: DataPackage
    answer: AccessDecision


Interaction = Exchange | RecordedFact | AccessQuestion
"""A request, a fact or an access question, with its answer: one step of drawn traffic."""


@attrs.frozen
class Traffic:
    """The requests, facts and access questions of one run, in a store that was empty before.

    An access question asks whether a connection grants access to a data package.

    Attributes:
        buckets: The buckets of the server's settings.
        interactions: The requests, facts and access questions in time order.
    """

    buckets: tuple[Bucket, ...]
    interactions: tuple[Interaction, ...]

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests with their answers, in time order, without facts and access questions."""
        return tuple(each for each in self.interactions if isinstance(each, Exchange))


def _caller(key: str, app: str, environment: Environment) -> Caller:
    account, scopes = CustomerAccountId(values.uuid_of(0xACC)), frozenset({CONNECTION_WRITE})
    return Caller(
        api_key_id=ApiKeyId(key),
        app_id=AppId(app),
        customer_account_id=account,
        environment=environment,
        scopes=scopes,
    )


CALLERS: Final[tuple[tuple[str, Caller], ...]] = (
    ("cae_live_k1", _caller("key-1", "app-1", Environment.LIVE)),
    ("cae_live_k2", _caller("key-2", "app-2", Environment.LIVE)),
    ("cae_test_k1", _caller("key-3", "app-1", Environment.TEST)),
)
"""The API keys of all drawn requests, each with its caller.

Two apps of one customer account have a live key each; `app-1` also has a test key.
"""

PACKAGES: Final = (DataPackage("clinical_summary"), DataPackage("labs"))
"""The data packages of every connection that a drawn request creates."""

# --- Steps ----------------------------------------------------------------------------------


class SpecialStep(StrEnum):
    """Kinds of steps in drawn traffic beside the plain requests of operations and the facts.

    Attributes:
        LANDED: A get of a connection, while the server knows an authorization that is not recorded.
        SIGN_UP: An initiate that prefers a sign-up.
        ALL_KNOWN: A get of an account state whose `If-None-Match` lists the tag of every state.
        ACCESS: No request, but the question whether a data package may be read.
    """

    LANDED = "get, the hand-off has landed"
    SIGN_UP = "initiate, a sign-up preferred"
    ALL_KNOWN = "account state, every entity tag known"
    ACCESS = "access"


StepKind = type[Operation] | type[Fact] | FactTemplate | SpecialStep
"""The kind of a step: a class of operations or facts, a template of a fact, or a special step."""

_OPERATION: Final[Mapping[SpecialStep, type[Operation]]] = {
    SpecialStep.LANDED: GetConnection,
    SpecialStep.SIGN_UP: Initiate,
    SpecialStep.ALL_KNOWN: GetAccountState,
}
_VALUES: Final = (
    *("connection_id", "session_id", "app_user_id", "coordinate", "user_id"),
    *("data_packages", "prefer_signup", "cached_states"),
)
_TEMPLATE_KINDS: Final = frozenset(template.kind for template in FACT_TEMPLATES)
# A counterexample shrinks towards the first kind.
_REQUESTS: Final[tuple[StepKind, ...]] = (
    *(each for each in OPERATIONS if can_build(each, _VALUES)),
    *_OPERATION,
)
_FACTS: Final[tuple[StepKind, ...]] = tuple(
    each for each in FACTS if each not in _TEMPLATE_KINDS and can_build(each, _VALUES)
)
# There are many more fact templates than other kinds, so the other kinds are listed twice. Hardly
# any run would draw the steps of a graduation one by one, so they are drawn together, and often.
_DRAWN_KINDS: Final[tuple[tuple[StepKind, ...], ...]] = (
    *((kind,) for kind in (*_REQUESTS, *_FACTS, SpecialStep.ACCESS) * 2),
    *((Initiate, StartGraduation, Graduated),) * 6,
    *((template,) for template in FACT_TEMPLATES),
)


@attrs.frozen
class TrafficStep:
    """A request, fact or access question to play; fields that its kind does not use are ignored.

    Attributes:
        offset: The time from `START` to the step. For the final steps, which `play_traffic` takes
            as its argument `last`, the time from the latest of the other steps.
        kind: The request, fact or access question of the step.
        nth_newest: The connection, session or (for a graduation) LIMITED user that the step is
            about: 0 is the newest, 1 the one before. A number that is too large means the oldest.
        key: In a request, the number of the idempotency key; 0 is a key that no other step uses. In
            a fact, the hosted page to name: 0 for none, 1 for the newest one about the fact's
            subject, 2 for the one before. If there is no such page, the fact names none.
        user: In a request, the number of the app user; in a fact, of the app user and the platform
            user. In an access question, the data package: 1 is `labs`, 2 is in no connection.
        caller: In a request, the index in `CALLERS` of the caller. In a fact about an app user, the
            index of a caller whose app the user uses.
    """

    offset: timedelta
    kind: StepKind
    nth_newest: int = 0
    key: int = 0
    user: int = 1
    caller: int = 0


# One draw chooses all four: Hypothesis leaves out a step more easily if it takes few draws.
_HOWS: Final = (*product((0, 0, 0, 1, 2), (1, 2), (0, 1, 2), (0, 0, 1, 2)),)
"""Every combination of `caller`, `user`, `nth_newest` and `key`; repeats make a value likelier."""


def traffic_steps(max_steps: int) -> st.SearchStrategy[list[TrafficStep]]:
    """Draw lists of requests, facts and access questions, which `play_traffic` plays in a store.

    They come at most 3 hours after `START`, in any order. If `max_steps` is two or more, a list of
    that many steps begins with a create, so that later steps have a connection to act on. Shorter
    lists are left as they are drawn, so that a counterexample can do without the create.

    Args:
        max_steps: The largest number of steps.
    """
    drawn = st.lists(_drawn_steps(values.offsets(), _DRAWN_KINDS), max_size=max_steps)
    flat = drawn.map(lambda groups: [*chain.from_iterable(groups)][:max_steps])
    create = TrafficStep(timedelta(0), CreateConnection)
    return flat.map(lambda steps: steps if len(steps) < max(2, max_steps) else [create, *steps[1:]])


def _drawn_steps(
    offsets: st.SearchStrategy[timedelta], kinds: tuple[tuple[StepKind, ...], ...]
) -> st.SearchStrategy[tuple[TrafficStep, ...]]:
    return st.builds(_make_steps, offsets, st.sampled_from(kinds), st.sampled_from(_HOWS))


def _make_steps(
    offset: timedelta, kinds: tuple[StepKind, ...], how: tuple[int, int, int, int]
) -> tuple[TrafficStep, ...]:
    caller, user, back, key = how
    *earlier, last = kinds
    # Two requests with one key would be refused, so the drawn key is that of the last step.
    return (
        *(TrafficStep(offset=offset, kind=each, user=user, caller=caller) for each in earlier),
        TrafficStep(offset=offset, kind=last, nth_newest=back, key=key, user=user, caller=caller),
    )


def traffic_runs(*, max_steps: int = 10) -> st.SearchStrategy[Traffic]:
    """Draw runs of traffic in one store: requests of the three `CALLERS`, facts, access questions.

    Args:
        max_steps: The largest number of requests, facts and access questions together.
    """
    return st.builds(play_traffic, _some_buckets(), traffic_steps(max_steps))


def exchanges() -> st.SearchStrategy[Exchange]:
    """Draw an `Exchange`: a request with its answer, after at most five other steps of traffic."""
    requests = tuple((each,) for each in _REQUESTS)
    last = _drawn_steps(st.sampled_from((timedelta(0), NEXT_ACTION_LIFETIME)), requests)
    runs = st.builds(play_traffic, _some_buckets(), traffic_steps(5), last)
    return runs.map(lambda run: run.exchanges[-1])


def _some_buckets() -> st.SearchStrategy[tuple[Bucket, ...]]:
    return st.sampled_from(((), (Bucket(name="platform", capacity=5, refill=1, seconds=1),)))


def _newest(known: list[Known], back: int, unknown: Known) -> Known:
    return known[max(0, len(known) - 1 - back)] if known else unknown


class _Play:
    """A store and a clock that steps are played against."""

    def __init__(self, buckets: tuple[Bucket, ...]) -> None:
        self._settings = Settings(buckets=buckets)
        self._now = self._last = START
        self._store = MemoryStore(self._settings, clock=lambda: self._now)
        self._connections: list[ConnectionId] = []
        self._sessions: list[SessionId] = []
        self._users: list[tuple[Coordinate, UserId]] = []
        self._page_urls: dict[tuple[PageKind, str], list[str]] = {}
        self._count = 0

    def play(self, step: TrafficStep, now: datetime) -> Interaction | None:
        """Play one step; return `None` if it needs a connection and there is none."""
        self._count += 1
        self._now = now
        # As `replay` does before each line, so that both drop the same pages. It also finishes the
        # sweep of a tombstone.
        self._store.purge(self._last)
        self._last = now
        kind = step.kind
        if kind is SpecialStep.ACCESS:
            return self._question(step, now)
        if isinstance(kind, FactTemplate):
            connection = self._store.connection(self._connection_id(step))
            return None if connection is None else self._record(step, kind.fact(connection, now))
        if isinstance(kind, type) and issubclass(kind, Fact):
            return self._record(step, build(kind, self._values(step)))
        operation = _OPERATION[kind] if isinstance(kind, SpecialStep) else kind
        return self._exchange(step, build(operation, self._values(step)), now)

    def _values(self, step: TrafficStep) -> dict[str, object]:
        # The values of an operation's or a fact's fields, by the name of the field.
        app_user = AppUserId(f"user-{step.user}")
        user = CALLERS[step.caller][1].coordinate(app_user), values.user_of(step.user)
        if step.kind is Graduated:
            user = _newest(self._users, step.nth_newest, user)
        return {
            "connection_id": self._connection_id(step),
            "session_id": _newest(self._sessions, step.nth_newest, SessionId(values.uuid_of(9999))),
            "app_user_id": app_user,
            "coordinate": user[0],
            "user_id": user[1],
            "data_packages": PACKAGES,
            "prefer_signup": step.kind is SpecialStep.SIGN_UP,
            "cached_states": frozenset(AccountState if step.kind is SpecialStep.ALL_KNOWN else ()),
        }

    def _connection_id(self, step: TrafficStep) -> ConnectionId:
        return _newest(self._connections, step.nth_newest, ConnectionId(values.uuid_of(9999)))

    def _record(self, step: TrafficStep, unnamed: Fact) -> RecordedFact:
        fact, now = self._with_page(step, unnamed), self._now
        loaded = self._store.load(fact.needs())
        answer = record_fact(fact, loaded.snapshot, now)
        if isinstance(answer, Done):
            self._commit(loaded, answer.value)
        return RecordedFact(
            now=now, fact=fact, needs=fact.needs(), snapshot=loaded.snapshot, answer=answer
        )

    def _with_page(self, step: TrafficStep, fact: Fact) -> Fact:
        subject = fact.page_key()
        urls = [] if subject is None else self._page_urls.get(subject, [])
        if "page_url" not in fact.__match_args__ or not 0 < step.key <= len(urls):
            return fact
        # Every fact is an attrs class, which the type of the base does not show.
        return attrs.evolve(cast("Authorized", fact), page_url=urls[-step.key])

    def _question(self, step: TrafficStep, now: datetime) -> AccessQuestion | None:
        connection = self._store.connection(self._connection_id(step))
        package = (*PACKAGES, DataPackage("imaging"))[step.user]
        if connection is None:
            return None
        era = present_era(self._store.binding(connection.identity.coordinate))
        answer = decide_access(connection, package, now, era=era)
        return AccessQuestion(now=now, connection=connection, package=package, answer=answer)

    def _exchange(self, step: TrafficStep, operation: Operation, now: datetime) -> Exchange:
        secret, caller = CALLERS[step.caller]
        key = IdempotencyKey(f"k-{step.key}" if step.key else f"k-of-turn-{self._count}")
        call = attrs.evolve(call_of(caller, operation, key), settings=self._settings)
        loaded = self._store.load(call.needs)
        snapshot = loaded.snapshot
        if step.kind is SpecialStep.LANDED and snapshot.connection is not None:
            landed = LandedHandoff(snapshot.connection.identity.created_at, None)
            snapshot = attrs.evolve(snapshot, landed_handoff=landed)
        new_ids = NewIds(
            connection_id=ConnectionId(values.uuid_of(self._count)),
            session_id=SessionId(values.uuid_of(1000 + self._count)),
            user_id=values.user_of(1000 + self._count),
            next_action=attrs.evolve(
                values.next_action_at(now), url=f"https://connect.example/{self._count}"
            ),
        )
        decision = decide(call, snapshot=snapshot, now=now, new_ids=new_ids)
        answer = respond(decision)
        page = hosted_page_for(call, decision.reply, snapshot.binding)
        if page is not None:
            urls = self._page_urls.setdefault((page.kind, page.subject), [])
            urls.append(new_ids.next_action.url)
        self._commit(loaded, answer.changes, page)
        request = format_request(call, f"Bearer {secret}")
        return Exchange(
            now=now,
            request=request,
            call=call,
            needs=call.needs,
            snapshot=snapshot,
            new_ids=new_ids,
            decision=decision,
            answer=answer,
        )

    def _commit(self, loaded: Loaded, changes: Changes, page: HostedPage | None = None) -> None:
        stored = self._store.commit(loaded, changes, page)
        assert stored, "no other writer, since the steps run one after another"  # noqa: S101 - see its words
        for effect in changes.effects:
            if isinstance(effect, UserProvisioned):
                self._users.append((effect.coordinate, effect.user_id))
        for write in changes.writes:
            match write:
                case ConnectionWrite(None, Connection(identity)):
                    self._connections.append(identity.id)
                case SessionWrite(None, CuraeConnectSession(id)):
                    self._sessions.append(id)
                case _:
                    pass


def play_traffic(
    buckets: tuple[Bucket, ...], steps: list[TrafficStep], last: tuple[TrafficStep, ...] = ()
) -> Traffic:
    """Send drawn requests and facts to a new store, in time order, and return all answers.

    A step is a request, a fact or an access question. The steps of `last` come after those of
    `steps`. As long as no connection exists, access questions and facts about connections are
    skipped: the result does not contain them.

    Args:
        buckets: The buckets of the server's settings.
        steps: The steps, in any order; each has its time after `START`.
        last: The final steps, in time order; their offsets count from the last of `steps`.
    """
    play = _Play(buckets)
    ordered = sorted(steps, key=lambda step: step.offset)
    end = ordered[-1].offset if ordered else timedelta(0)
    ending = (attrs.evolve(step, offset=end + step.offset) for step in last)
    happened = [play.play(step, START + step.offset) for step in (*ordered, *ending)]
    return Traffic(buckets, tuple(each for each in happened if each is not None))
