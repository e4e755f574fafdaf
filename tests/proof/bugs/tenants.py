"""Servers that confuse tenants, or reveal one to another."""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.values import (
    ConnectionId,
    Coordinate,
)
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.operations.get_connection import GetConnection
from curae_lifecycle.service.operations.revoke import Revoke
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.web.request import Request
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service, with_header, with_members


class _Misattributed(Service):
    """A server that gives the rules a connection of another coordinate."""

    compares = False

    def coordinate(self, call: Call, own: Coordinate) -> Coordinate:
        del call
        return own

    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        connection = snapshot.connection
        if connection is None or not isinstance(call.operation, GetConnection):
            return snapshot
        identity = connection.identity
        moved = attrs.evolve(identity, coordinate=self.coordinate(call, identity.coordinate))
        return attrs.evolve(snapshot, connection=attrs.evolve(connection, identity=moved))


class AppsSeeEachOther(_Misattributed):
    def coordinate(self, call: Call, own: Coordinate) -> Coordinate:
        return attrs.evolve(own, app_id=call.caller.app_id)


class AccountsSeeEachOther(_Misattributed):
    def coordinate(self, call: Call, own: Coordinate) -> Coordinate:
        account = call.caller.customer_account_id
        return attrs.evolve(own, app_id=call.caller.app_id, customer_account_id=account)


class TestSeesLive(_Misattributed):
    def coordinate(self, call: Call, own: Coordinate) -> Coordinate:
        return attrs.evolve(own, environment=call.caller.environment)


class _InformsStrangers(Service):
    """A server that answers another tenant's id differently from an unknown one."""

    def tell(self, response: Response) -> Response:
        return response

    def sent(self, request: Request, response: Response) -> Response:
        path = request.target.partition("connections/")[2].partition(":")[0]
        found = self.memory.connection(ConnectionId(path.lower()))
        caller = self.caller(request)
        if (
            response.status != 404
            or found is None
            or caller is None
            or caller.owns(found.identity.coordinate)
        ):
            return response
        return self.tell(response)


class StrangersForbidden(_InformsStrangers):
    def tell(self, response: Response) -> Response:
        forbidden = with_members(
            response,
            "",
            type="https://curaeai.com/problems/scope-insufficient",
            status=403,
            code="SCOPE_INSUFFICIENT",
            details={"scope": CONNECTION_WRITE},
        )
        return attrs.evolve(forbidden, status=403)


class StrangersInformedInWords(_InformsStrangers):
    def tell(self, response: Response) -> Response:
        return with_members(response, "", detail="The connection belongs to somebody else.")


class StrangersInformedByAHeader(_InformsStrangers):
    def tell(self, response: Response) -> Response:
        return with_header(response, "cache-control", "private")


class RevokeOfStrangersWorks(_Misattributed):
    def load(self, call: Call) -> Snapshot:
        snapshot = super(_Misattributed, self).load(call)
        connection = snapshot.connection
        if connection is None or not isinstance(call.operation, Revoke):
            return snapshot
        coordinate = call.caller.coordinate(connection.identity.coordinate.app_user_id)
        moved = attrs.evolve(connection.identity, coordinate=coordinate)
        return attrs.evolve(snapshot, connection=attrs.evolve(connection, identity=moved))


class AccountStateAcrossApps(Service):
    def load(self, call: Call) -> Snapshot:
        snapshot = super().load(call)
        if not isinstance(call.operation, GetAccountState) or snapshot.binding is not None:
            return snapshot
        own = call.caller.coordinate(call.operation.app_user_id)
        for binding in self.memory._bindings.values():
            if binding.coordinate.app_user_id == own.app_user_id:
                return attrs.evolve(snapshot, binding=attrs.evolve(binding, coordinate=own))
        return snapshot


BUGS: Final = (
    VisibleBug(
        name="apps-see-each-other",
        wrong="An app reads the connections of another app of its customer.",
        breaks="law 15; request.ownership",
        found_by=("request.ownership",),
        make=AppsSeeEachOther,
    ),
    VisibleBug(
        name="accounts-see-each-other",
        wrong="A customer reads the connections of another.",
        breaks="law 15; request.ownership",
        found_by=("request.ownership",),
        make=AccountsSeeEachOther,
    ),
    VisibleBug(
        name="test-sees-live",
        wrong="A test key reads live connections.",
        breaks="law 15; request.ownership",
        found_by=("request.ownership.environment",),
        make=TestSeesLive,
    ),
    VisibleBug(
        name="strangers-forbidden",
        wrong="Another's id is answered 403 where an unknown one is 404.",
        breaks="law 15; request.ownership",
        found_by=(
            "request.ownership",
            "order.ownership",
        ),
        make=StrangersForbidden,
    ),
    VisibleBug(
        name="strangers-informed-in-words",
        wrong="The sentence of a 404 says that the connection is somebody else's.",
        breaks="law 15; request.ownership",
        found_by=(
            "request.ownership",
            "request.ownership.environment",
        ),
        make=StrangersInformedInWords,
    ),
    VisibleBug(
        name="strangers-informed-by-a-header",
        wrong="A header of a 404 tells another's id from an unknown one.",
        breaks="law 15; request.ownership",
        found_by=(
            "request.ownership",
            "request.ownership.environment",
        ),
        make=StrangersInformedByAHeader,
    ),
    VisibleBug(
        name="revoke-of-strangers-works",
        wrong="Whoever knows an id may revoke it.",
        breaks="law 15; request.ownership",
        found_by=(
            "request.ownership",
            "request.ownership.environment",
        ),
        make=RevokeOfStrangersWorks,
    ),
    VisibleBug(
        name="account-state-across-apps",
        wrong="The account state of a user is that of any app.",
        breaks="law 15; section 1, the coordinate",
        found_by=("account.own",),
        make=AccountStateAcrossApps,
    ),
)
"""The seeded bugs about tenants."""
