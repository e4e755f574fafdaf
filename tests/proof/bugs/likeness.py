"""Servers that confuse similar ids, and servers that fail on long chains."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlsplit

import attrs

from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import Caller
from curae_lifecycle.rules.values import (
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service, collated, header_of
from tests.proof.bugs.tombstones import WithoutEras


class _Owners(Service):
    """A server that misreads a caller's ids."""

    def owner(self, caller: Caller) -> Caller:
        return caller

    def caller(self, request: Request) -> Caller | None:
        known = super().caller(request)
        return None if known is None else self.owner(known)


class AppsFolded(_Owners):
    def owner(self, caller: Caller) -> Caller:
        return attrs.evolve(caller, app_id=AppId(caller.app_id.casefold()))


class AccountsCut(Service):
    """A server that finds an account's connections by all of its digits but the last."""

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        held, own = snapshot.connection, call.caller.customer_account_id
        if held is None:
            return snapshot
        coordinate = held.identity.coordinate
        if coordinate.customer_account_id[:-1] != own[:-1]:
            return snapshot
        mine = attrs.evolve(coordinate, customer_account_id=CustomerAccountId(own))
        identity = attrs.evolve(held.identity, coordinate=mine)
        held = attrs.evolve(held, identity=identity)
        # The binding of the other account comes with its connection.
        return attrs.evolve(snapshot, connection=held, binding=None)


class GraduatesTwins(Service):
    def record(self, fact: Fact) -> FactAnswer:
        if isinstance(fact, Graduated):
            for each in self._twins(fact.coordinate):
                super().record(Graduated(each))
        return super().record(fact)

    def _twins(self, coordinate: Coordinate) -> list[Coordinate]:
        bound = [each.coordinate for each in self.memory._bindings.values()]
        return [
            each for each in bound if each != coordinate and collated(each) == collated(coordinate)
        ]


class UsersCollated(Service):
    def record(self, fact: Fact) -> FactAnswer:
        if not isinstance(fact, HandoffCompleted):
            return super().record(fact)
        session = self.memory.session(fact.session_id)
        bound = None if session is None else self.memory.binding(session.coordinate)
        if session is not None and bound is not None and bound.user_id is not None:
            users = [
                collated(attrs.evolve(session.coordinate, app_user_id=AppUserId(each)))
                for each in (fact.user_id, bound.user_id)
            ]
            if users[0] == users[1]:
                return super().record(attrs.evolve(fact, user_id=bound.user_id))
        return super().record(fact)


class TagOfATwin(Service):
    """A server that compares entity tags of similar users as equal."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[Coordinate, set[str]] = {}

    def given(self, request: Request, answer: Answer) -> Response:
        response = super().given(request, answer)
        caller, user = self.caller(request), parse_qs(urlsplit(request.target).query)
        if caller is None or "account-state" not in request.target or response.status != 200:
            return response
        known = self.seen.setdefault(
            collated(caller.coordinate(AppUserId(user["appUserId"][0]))), set()
        )
        known.add(header_of(response, "etag"))
        sent = dict(request.headers).get("If-None-Match", "")
        return attrs.evolve(response, status=304, body=b"") if sent in known else response


class HeadWithinEight(Service):
    """A server that follows a chain for at most eight links."""

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if snapshot.connection is None or snapshot.head is None:
            return snapshot
        seen = snapshot.connection
        for _ in range(8):
            seen = self.memory._connections._successors.get(seen.id, seen)
        return attrs.evolve(snapshot, head=seen)


class DeepLinksAlone(Service):
    """A server that finds no successor deep in a chain."""

    def load_fact(self, fact: Fact) -> Snapshot:
        snapshot = super().load_fact(fact)
        if not isinstance(fact, Authorized) or self._depth(snapshot.connection) < 10:
            return snapshot
        return attrs.evolve(snapshot, successor=None, head=None)

    def _depth(self, connection: Connection | None) -> int:
        depth = 0
        while connection is not None and connection.identity.predecessor_id is not None:
            connection = self.memory.connection(connection.identity.predecessor_id)
            depth += 1
        return depth


class RevokesFromTheRoot(Service):
    def record(self, fact: Fact) -> FactAnswer:
        held = self.memory.connection(fact.connection_id) if isinstance(fact, Revoked) else None
        if isinstance(fact, Revoked) and held is not None and fact.actor != "APP":
            fact = attrs.evolve(fact, connection_id=held.identity.root_id)
        return super().record(fact)


class EndsSixteen(WithoutEras):
    def reached(
        self, coordinate: Coordinate, held: tuple[Connection, ...]
    ) -> tuple[Connection, ...]:
        del coordinate
        return held[-16:]


class ReadsOverTheHead(Service):
    def may_read(self, connection_id: ConnectionId, package: str) -> bool:
        held = self.memory.connection(connection_id)
        if held is not None:
            head = self.memory._connections._heads.get(held.identity.root_id, held)
            connection_id = head.id
        return super().may_read(connection_id, package)


BUGS: Final = (
    VisibleBug(
        name="apps-folded",
        wrong="Apps whose ids differ in case are one.",
        breaks="law 15",
        found_by=("app.twins",),
        make=AppsFolded,
    ),
    VisibleBug(
        name="accounts-cut",
        wrong="Accounts whose ids differ in the last digit see each other's connections.",
        breaks="law 15",
        found_by=("customer-account.twins",),
        make=AccountsCut,
    ),
    VisibleBug(
        name="graduates-twins",
        wrong="A graduation is also of users whose ids a collation takes for the same.",
        breaks="section 1, appUserId is compared exactly",
        found_by=("account.twins.graduation",),
        make=GraduatesTwins,
    ),
    VisibleBug(
        name="platform-users-collated",
        wrong="A sign-up by another platform user lands where a collation takes the ids for the same.",
        breaks="binding.complete-sign-up.active.other",
        found_by=("account.twins.sign-up",),
        make=UsersCollated,
    ),
    VisibleBug(
        name="tag-of-a-twin",
        wrong="Whether an account state has moved is asked of whoever's id a collation takes for the same.",
        breaks="section 1, appUserId is compared exactly",
        found_by=("account.twins.tag",),
        make=TagOfATwin,
    ),
    VisibleBug(
        name="head-within-eight",
        wrong="The head of a chain is looked for no further than eight links.",
        breaks="section 2, one hop from any old id",
        found_by=("law-06.chain-of-every-end", "law-06.long-chain"),
        make=HeadWithinEight,
    ),
    VisibleBug(
        name="deep-links-alone",
        wrong="A late authorization deep in a chain is told that it is not pending, and not of the next one.",
        breaks="section 2, whoever authorizes a connection that has a successor",
        found_by=("law-06.late-authorization-in-a-chain",),
        make=DeepLinksAlone,
    ),
    VisibleBug(
        name="revokes-from-the-root",
        wrong="A patient's revocation also ends what came before in the chain.",
        breaks="revocation-reach.patient",
        found_by=("revocation-reach.from-the-middle",),
        make=RevokesFromTheRoot,
    ),
    VisibleBug(
        name="tombstone-ends-sixteen",
        wrong="A tombstone ends no more than the sixteen newest connections of its user.",
        breaks="law 17",
        found_by=("law-17.long-chain",),
        make=EndsSixteen,
    ),
    VisibleBug(
        name="reads-over-the-head",
        wrong="Over an old id is read what its chain's head grants.",
        breaks="law 5",
        found_by=("access.long-chain",),
        make=ReadsOverTheHead,
    ),
)
"""The seeded bugs about similar ids and long chains."""
