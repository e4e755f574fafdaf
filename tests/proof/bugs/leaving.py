"""Servers whose outbox reports something else than what happened."""

from __future__ import annotations

from datetime import datetime
from typing import Final, cast

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.stores.outbox import messages
from curae_lifecycle.web.request import Request
from curae_lifecycle.web.respond import Answer
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import Service

Left = dict[str, Json]


class _Tells(Service):
    """A server that posts one wrong message."""

    def told(self, message: Left) -> Left | None:
        return message

    def leave(self, changes: Changes) -> None:
        every = [self.told(each.document) for each in messages(changes, self.settings)]
        self.left += [each for each in every if each is not None]


class ExpiryUntold(_Tells):
    def told(self, message: Left) -> Left | None:
        return None if message["kind"] == "connection.expired" else message


class GraduationUntold(_Tells):
    def told(self, message: Left) -> Left | None:
        return None if message["kind"] == "binding.graduated" else message


class SubjectOfTheCreation(_Tells):
    def __init__(self) -> None:
        super().__init__()
        self.first: dict[str, Json] = {}

    def told(self, message: Left) -> Left | None:
        subject = cast("dict[str, str]", message.get("subject", {}))
        kept = self.first.setdefault(subject.get("id", "none"), message.get("subject"))
        return message if "id" not in subject else {**message, "subject": kept}


class IdsOfUsers(_Tells):
    def told(self, message: Left) -> Left | None:
        if "id" not in message:
            return message
        return {**message, "id": f"{message['kind']} {message['coordinate']}"}


class NewestFirst(_Tells):
    def leave(self, changes: Changes) -> None:
        earlier, self.left = self.left, []
        super().leave(changes)
        self.left += earlier


class EventsTwice(_Tells):
    def leave(self, changes: Changes) -> None:
        for each in messages(changes, self.settings):
            self.left.append(each.document)
            if "id" in each.document:
                self.left.append({**each.document, "id": f"{each.document['id']} again"})


class EffectsTwice(_Tells):
    def leave(self, changes: Changes) -> None:
        every = [each.document for each in messages(changes, self.settings)]
        self.left += [*every, *(each for each in every if "id" not in each)]


class PageNotReplaced(_Tells):
    def told(self, message: Left) -> Left | None:
        return None if message["kind"] == "NextActionReplaced" else message


class HeadIsTheRevoked(_Tells):
    def told(self, message: Left) -> Left | None:
        if message["kind"] == "SuccessorsLive":
            return {**message, "headConnectionId": message["connectionId"]}
        return message


class TombstoneTellsSixteen(Service):
    def swept(self, binding: LimitedAccountAppBinding, held: tuple[Connection, ...]) -> Changes:
        return super().swept(binding, held[:16])


class TombstoneTellsTheAccount(Service):
    def sweep(self, binding: LimitedAccountAppBinding) -> None:
        told = self.outbox()
        super().sweep(binding)
        self.left = told


class ReplayLeavesAgain(Service):
    def __init__(self) -> None:
        super().__init__()
        self.first: dict[bytes, Changes] = {}

    def given(self, request: Request, answer: Answer) -> Response:
        body = answer.response.body
        if answer.changes.events:
            self.first[body] = answer.changes
        elif body in self.first:
            self.leave(self.first[body])
        return super().given(request, answer)


class LeavesBeforeTheCommit(Service):
    def judged(self, call: Call, snapshot: Snapshot, now: datetime) -> Answer:
        answer = super().judged(call, snapshot, now)
        super().leave(answer.changes)
        return answer

    def leave(self, changes: Changes) -> None:
        del changes


BUGS: Final = (
    VisibleBug(
        name="expiry-untold",
        wrong="Nobody is told that an authorization has expired.",
        breaks="section 6, the events of a decision",
        found_by=("outbox.connection",),
        make=ExpiryUntold,
    ),
    VisibleBug(
        name="subject-of-the-creation",
        wrong="Every event shows its subject as it was when it was made.",
        breaks="section 6, the subject as the wire shows it",
        found_by=("outbox.connection",),
        make=SubjectOfTheCreation,
    ),
    VisibleBug(
        name="graduation-untold",
        wrong="Nobody is told that a user has graduated.",
        breaks="section 6, the events of a decision",
        found_by=("outbox.account",),
        make=GraduationUntold,
    ),
    VisibleBug(
        name="replay-leaves-again",
        wrong="A replay puts the events of the first execution into the outbox again.",
        breaks="law 9",
        found_by=("outbox.nothing",),
        make=ReplayLeavesAgain,
    ),
    VisibleBug(
        name="event-ids-of-users",
        wrong="An event's id follows from its kind and its user alone, so the second one is dropped.",
        breaks="section 6, an id follows from kind, subject and instant",
        found_by=("outbox.ids",),
        make=IdsOfUsers,
    ),
    VisibleBug(
        name="newest-first",
        wrong="The outbox hands over what left last before what left first.",
        breaks="section 6, the events of a decision",
        found_by=("outbox.ids", "outbox.connection", "outbox.account"),
        make=NewestFirst,
    ),
    VisibleBug(
        name="events-twice",
        wrong="Each event leaves twice, under two ids.",
        breaks="section 6, the events of a decision",
        found_by=(
            *("outbox.ids", "outbox.connection", "outbox.account", "outbox.at-once"),
            "outbox.tombstone",
        ),
        make=EventsTwice,
    ),
    VisibleBug(
        name="effects-twice",
        wrong="Each effect leaves twice.",
        breaks="section 6, the effects of a decision",
        found_by=("outbox.reissue", "outbox.head-alive", "outbox.tombstone"),
        make=EffectsTwice,
    ),
    VisibleBug(
        name="leaves-before-the-commit",
        wrong="Events leave before the store has taken what they tell of.",
        breaks="law 11; law 12",
        found_by=("outbox.at-once",),
        make=LeavesBeforeTheCommit,
        slowly=True,
    ),
    VisibleBug(
        name="tombstone-tells-sixteen",
        wrong="A tombstone tells of the first sixteen connections that it ends.",
        breaks="law 17",
        found_by=("outbox.tombstone",),
        make=TombstoneTellsSixteen,
    ),
    VisibleBug(
        name="tombstone-tells-the-account",
        wrong="A tombstone tells that the user is gone, and nothing of the connections that it ends.",
        breaks="law 17",
        found_by=("outbox.tombstone",),
        make=TombstoneTellsTheAccount,
    ),
    VisibleBug(
        name="page-not-replaced",
        wrong="A reissue does not ask for the end of the page before.",
        breaks="law 7; recovery.revoked.pending",
        found_by=("outbox.reissue",),
        make=PageNotReplaced,
    ),
    VisibleBug(
        name="head-is-the-revoked",
        wrong="An app that revokes an old id is told that this id itself is alive.",
        breaks="revocation-reach.app",
        found_by=("outbox.head-alive",),
        make=HeadIsTheRevoked,
    ),
)
"""The seeded bugs about the outbox."""
