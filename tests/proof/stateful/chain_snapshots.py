"""The state machine of a chain that is asked for access, and whose snapshots are sent and merged."""

from __future__ import annotations

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import rule

from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.wire_status import WireStatus
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.testing.laws import check_access, check_merge
from curae_lifecycle.web.wire_format import format_connection, parse_connection
from tests.proof.reference import tables
from tests.proof.reference.facts import format_connection as on_the_wire
from tests.proof.reference.values import format_time
from tests.proof.stateful.chain import ChainMoves, which
from tests.proof.stateful.running import START, agree, code_and_details
from tests.support.strategies import COORDINATE


class ChainMachine(ChainMoves):
    """A chain that is also asked for access, and whose snapshots are sent and merged."""

    @rule(
        n=which,
        package=st.sampled_from(["labs", "notes"]),
        active=st.sampled_from(["ACTIVE", "AUTHORIZED"]),
    )
    def look(self, n: int, package: str, active: str) -> None:
        n = self._at(n)
        self._ask(n, package)
        self._send(n, active)

    @rule(n=which)
    def look_elsewhere(self, n: int) -> None:
        """Show less or more of a connection to another server, in either spelling."""
        n = self._at(n)
        for active in ("ACTIVE", "AUTHORIZED"):
            document = format_connection(self.line[n], self.now, active, binding=None)
            since = document["authorizedAt"] or document["createdAt"]
            self._read(n, document | {"authorizedAt": since})
            self._read(n, document | {"authorizedAt": None, "actionRequiredReason": None})

    @rule(n=which)
    def look_at_contradictions(self, n: int) -> None:
        """Check that a status that contradicts its `revokedAt` counts as revoked."""
        n = self._at(n)
        connection, now = self.line[n], self.now
        for status in rules.Status:
            at = None if status is rules.Status.REVOKED else connection.updated_at
            torn = attrs.evolve(connection, status=status, revoked_at=at)
            agree(
                "the standing of a contradiction",
                "REVOKED",
                str(rules.standing(torn, now, era=None)),
            )
            agree("the deadline of a contradiction", None, rules.next_deadline(torn, era=None))
            # After the tombstone, before it is written on the connection.
            for ended in (None, connection.updated_at):
                over = attrs.evolve(connection, status=status, revoked_at=ended)
                standing = str(rules.standing(over, now, era=START))
                agree("the standing of another era's connection", "REVOKED", standing)
                deadline = rules.next_deadline(over, era=START)
                agree("the deadline of another era's connection", None, deadline)
        document = format_connection(connection, now, binding=None)
        since = document["updatedAt"]
        for spelled in WireStatus:
            revoked = None if spelled is WireStatus.REVOKED else since
            for authorized in (None, since):
                told: dict[str, Json] = {
                    "status": spelled.value,
                    "authorizedAt": authorized,
                    "revokedAt": revoked,
                    "actionRequiredReason": None,
                }
                read = self._parsed(n, document | told)
                agree("the status of a contradiction", "REVOKED", str(read.status))

    def _ask(self, n: int, package: str) -> None:
        said = self.model.ask(n, self.now, package)
        answer = decide_access(self.line[n], package, self.now, era=None)
        check_access(self.line[n], package, self.now, era=None)
        if isinstance(answer, Granted):
            until = format_time(answer.valid_until)
            agree("access", said, {"granted": True, "reason": None, "validUntil": until})
            return
        agree("access", said, {"granted": False, "reason": answer.reason, "validUntil": None})
        details = {
            "connectionId": self.line[n].id,
            "dataPackage": package,
            "reason": said["reason"],
        }
        agree("denied", ("CONNECTION_ACCESS_DENIED", details), code_and_details(answer.problem))

    def _send(self, n: int, active: str) -> None:
        """Send a snapshot over the wire and keep the receiver's value."""
        document = format_connection(self.line[n], self.now, active, binding=None)
        expected = on_the_wire(self.model.chain[n], self.now)
        if expected["status"] == "ACTIVE":
            expected["status"] = active
        agree("a connection on the wire", expected, document)
        self.snapshots[self.line[n].id].append(self._read(n, document))

    def _read(self, n: int, document: dict[str, Json]) -> Connection:
        read = self._parsed(n, document)
        shown = document["authorizedAt"] or document["actionRequiredReason"]
        cell = (
            str(document["status"]),
            "no revokedAt" if document["revokedAt"] is None else "a revokedAt",
            "authorizedAt or a reason" if shown else "neither authorizedAt nor a reason",
        )
        lapsed = ", its hand-off over" if read.handoff_deadline == read.updated_at else ""
        agree("a snapshot read from the wire", tables.STORED_STATUS[cell], read.status + lapsed)
        again = format_connection(read, self.now, binding=None)
        spelled = {"status": "ACTIVE"} if document["status"] == "AUTHORIZED" else {}
        agree("a snapshot sent on", document | spelled, again)
        return read

    def _parsed(self, n: int, document: dict[str, Json]) -> Connection:
        connection = self.line[n]
        return parse_connection(
            document,
            environment=COORDINATE.environment,
            app_id=COORDINATE.app_id,
            predecessor_id=connection.identity.predecessor_id,
            root_id=connection.identity.root_id,
            position=connection.identity.position,
        )

    @rule(n=which, picks=st.tuples(*[st.integers(0, 7)] * 3))
    def merge(self, n: int, picks: tuple[int, int, int]) -> None:
        snapshots = self.snapshots[self.line[self._at(n)].id]
        a, b, c = (snapshots[-1 - pick % len(snapshots)] for pick in picks)
        check_merge(a, b, c)
        if merging.merge(a, b) not in (a, b):
            self.snapshots[a.id].append(merging.merge(a, b))
