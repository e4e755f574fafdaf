"""Tests of operations that a server adds: refusals, sessions of others, and hosted pages."""

from __future__ import annotations

from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import Bucket, ExactLog
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import (
    AppUserId,
    ConnectionId,
    NextAction,
    SessionId,
    parse_opaque,
)
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.hosted_page import PageKind
from curae_lifecycle.service.members import APP_USER_ID, CONNECTION_ID, Member
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.operations.account_state import GetAccountState
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.service.snapshot import ConnectionsPage, Needs, Snapshot
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.stores.hosted_pages import hosted_page_for
from curae_lifecycle.web.openapi.document import problem_codes
from curae_lifecycle.web.respond import respond
from tests.support.server import CALLER, ID, LIMITED, STRANGERS, USER, call, new_ids, written
from tests.support.strategies import COORDINATE, START, at, pending, uuid

SESSION: Final = CuraeConnectSession(
    id=SessionId(uuid(1001)),
    coordinate=COORDINATE,
    path=EntryPath.SILENT_LIMITED,
    handoff=HandoffState.NOT_REQUIRED,
    created_at=START,
    expires_at=at(30),
    landed_at=None,
    user_id=None,
)
SESSION_ID: Final = Member("sessionId", lambda value: SessionId(parse_opaque("sessionId", value)))
ROOT: Final = operation.OperationRule(
    name="root",
    why="[O] A test asks it.",
    summary="Ask",
    method="POST",
    path=f"{operation.BASE_PATH}/asked",
    scope=CONNECTION_WRITE,
    key=operation.KeyUse.NEEDED,
    status=200,
)


# --- Refusals ---------------------------------------------------------------------------------


@attrs.frozen
class Refuse(operation.ConnectionOperation):
    """An operation that refuses with the problem it holds."""

    connection_id: ConnectionId
    problem: Problem

    reply = operation.Reply
    rule = attrs.evolve(ROOT, ids=(CONNECTION_ID,))

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        del context
        return operation.ruling_from_refusal(Refused(self.problem, ("refuse.always",)))

    def fingerprint_values(self) -> list[str]:
        return [self.connection_id]


@pytest.mark.parametrize(
    ("problem", "status", "is_kept"),
    [
        (Problem(ProblemCode.BAD_REQUEST, ("label", "INVALID")), 400, False),
        (Problem(ProblemCode.SCOPE_INSUFFICIENT, ("label:write",)), 403, False),
        (Problem(ProblemCode.NOT_FOUND), 404, True),
        (Problem(ProblemCode.BINDING_NOT_LIMITED, ("ACTIVE",)), 409, True),
        (Problem(ProblemCode.IDEMPOTENCY_KEY_IN_FLIGHT, (1,)), 409, False),
        (Problem(ProblemCode.RATE_LIMITED, ("labels", 5)), 429, False),
    ],
)
def test_problem_is_stored_only_if_404_or_non_retryable_409(
    problem: Problem, status: int, *, is_kept: bool
) -> None:
    asked = call(Refuse(ID, problem), "k-1")
    decision = decide(asked, Snapshot(connection=pending()), START, new_ids=new_ids())
    answer = respond(decision)
    assert (answer.response.status, answer.rules[-1]) == (status, "refuse.always")
    assert [type(write) for write in answer.changes.writes] == [RecordWrite] * is_kept


class KeepCopy(Refuse):
    """An operation whose client holds the current answer already."""

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        del context
        return operation.Ruling(operation.NotModified('"held"'))


def test_custom_operation_that_answers_304_stores_nothing() -> None:
    asked = call(KeepCopy(ID, Problem(ProblemCode.NOT_FOUND)), "k-1")
    answer = respond(decide(asked, Snapshot(connection=pending()), START, new_ids=new_ids()))
    assert (answer.response.status, answer.changes) == (304, NO_CHANGES)


# --- Connections and app users ----------------------------------------------------------------


@attrs.frozen
class Reminded(operation.Reply):
    state: str


@attrs.frozen
class Remind(operation.Operation):
    """An operation on a connection that is charged to the app user that its body names."""

    connection_id: ConnectionId
    app_user_id: AppUserId

    reply = Reminded
    rule = attrs.evolve(
        ROOT,
        path=f"{operation.BASE_PATH}/connections/{{connectionId}}:remind",
        limit=ExactLog("remind", 1, 60),
        ids=(CONNECTION_ID,),
        body=(APP_USER_ID,),
    )

    def needs(self, caller: Caller) -> Needs:
        return Needs(connection=self.connection_id, binding=caller.coordinate(self.app_user_id))

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        binding = context.snapshot.binding
        return operation.Ruling(Reminded("UNLINKED" if binding is None else binding.state))


OTHER_USER: Final = AppUserId("user-2")
OTHER_BINDING: Final = attrs.evolve(LIMITED, coordinate=CALLER.coordinate(OTHER_USER))
PLATFORM: Final = Settings(buckets=(Bucket(name="platform", capacity=1, refill=1, seconds=60),))


@pytest.mark.parametrize(
    ("user", "snapshot", "status", "charged"),
    [
        (USER, Snapshot(connection=pending(), binding=LIMITED), 200, ["platform", "remind"]),
        (USER, Snapshot(), 404, ["platform"]),
        (OTHER_USER, Snapshot(connection=pending()), 404, ["platform"]),
        (OTHER_USER, Snapshot(connection=pending(), binding=LIMITED), 404, ["platform"]),
        (OTHER_USER, Snapshot(connection=pending(), binding=OTHER_BINDING), 404, ["platform"]),
    ],
)
def test_ownership_404_charges_bucket_but_no_app_user_limit(
    user: AppUserId, snapshot: Snapshot, status: int, charged: list[str]
) -> None:
    asked = attrs.evolve(call(Remind(ID, user), "k-1"), settings=PLATFORM)
    loaded = attrs.evolve(snapshot, buckets=(None,))
    decision = decide(asked, loaded, START, new_ids=new_ids())
    assert (decision.status, written(decision.changes.writes)) == (status, charged)


def test_404_by_a_custom_rule_charges_no_app_user_limit() -> None:
    class RefuseReminder(Remind):
        def decide(self, context: operation.OperationContext) -> operation.Ruling:
            del context
            return operation.ruling_from_refusal(Refused(Problem(ProblemCode.NOT_FOUND), ()))

    decision = decide(call(RefuseReminder(ID, USER)), Snapshot(connection=pending()), START)
    assert (decision.status, decision.changes) == (404, NO_CHANGES)


# --- Sessions ---------------------------------------------------------------------------------


@attrs.frozen
class SessionShown(operation.Reply):
    session: CuraeConnectSession


@attrs.frozen
class ShowSession(operation.Operation):
    """An operation on a session."""

    session_id: SessionId

    reply = SessionShown
    rule = attrs.evolve(ROOT, body=(SESSION_ID,))

    def needs(self, caller: Caller) -> Needs:
        del caller
        return Needs(session=self.session_id)

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        session = context.snapshot.session
        assert session is not None
        return operation.Ruling(SessionShown(session))


def test_session_of_another_owner_gets_the_404_of_an_unknown_id() -> None:
    asked, stored = call(ShowSession(SESSION.id), "k-1"), Snapshot(session=SESSION)
    assert decide(asked, stored, START, new_ids=new_ids()).reply == SessionShown(SESSION)
    unknown = decide(asked, Snapshot(), START, new_ids=new_ids())
    assert unknown.status == 404
    for stranger in STRANGERS:
        answer = decide(attrs.evolve(asked, caller=stranger), stored, START, new_ids=new_ids())
        assert respond(answer).response == respond(unknown).response


# --- Hosted pages -----------------------------------------------------------------------------


@attrs.frozen
class PageShown(operation.Reply):
    next_action: NextAction


@attrs.frozen
class ShowPage(operation.Operation):
    """An operation whose reply is a next action alone."""

    needed: Needs

    reply = PageShown
    rule = ROOT

    def needs(self, caller: Caller) -> Needs:
        del caller
        return self.needed

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        return operation.Ruling(PageShown(context.new_ids.next_action))

    def fingerprint_values(self) -> list[str]:
        return []


@pytest.mark.parametrize(
    ("needed", "kind", "subject"),
    [
        (Needs(connection=ID), PageKind.CONNECTION, ID),
        (Needs(chain=ID), PageKind.CONNECTION, ID),
        (Needs(session=SESSION.id), PageKind.SESSION, SESSION.id),
    ],
)
def test_hosted_page_subject_is_the_id_that_the_operation_loads(
    needed: Needs, kind: PageKind, subject: str
) -> None:
    page = hosted_page_for(call(ShowPage(needed), "k-1"), PageShown(new_ids().next_action), None)
    assert page is not None
    assert (page.kind, page.subject) == (kind, subject)


@pytest.mark.parametrize(
    ("needed", "snapshot"),
    [
        (Needs(session=SESSION.id, binding=OTHER_BINDING.coordinate), Snapshot(session=SESSION)),
        (
            Needs(connection=ID, connections=ConnectionsPage(OTHER_BINDING.coordinate)),
            Snapshot(connection=pending()),
        ),
        (
            Needs(
                connections=ConnectionsPage(COORDINATE),
                binding=OTHER_BINDING.coordinate,
            ),
            Snapshot(),
        ),
    ],
)
def test_operation_that_loads_values_of_two_users_gets_404(
    needed: Needs, snapshot: Snapshot
) -> None:
    loaded = attrs.evolve(snapshot, binding=OTHER_BINDING)
    decision = decide(call(ShowPage(needed), "k-1"), loaded, START, new_ids=new_ids())
    assert (decision.status, decision.rules[-1]) == (404, "request.ownership")


@pytest.mark.parametrize(
    "needed", [Needs(binding=COORDINATE), Needs(connections=ConnectionsPage(COORDINATE))]
)
def test_operation_that_loads_a_user_of_another_owner_gets_404(needed: Needs) -> None:
    asked, loaded = call(ShowPage(needed), "k-1"), Snapshot(binding=LIMITED)
    assert decide(asked, loaded, START, new_ids=new_ids()).status == 200
    for stranger in STRANGERS:
        as_stranger = attrs.evolve(asked, caller=stranger)
        decision = decide(as_stranger, loaded, START, new_ids=new_ids())
        assert (decision.status, decision.rules[-1]) == (404, "request.ownership")


def test_hosted_page_without_a_connection_or_session_raises() -> None:
    with pytest.raises(ArgumentError, match=r"^reply: must be one with a connection or session"):
        hosted_page_for(call(ShowPage(Needs()), "k-1"), PageShown(new_ids().next_action), None)


# --- The row of the table, the document -------------------------------------------------------


@attrs.frozen
class Touch(operation.ConnectionOperation):
    """An operation whose body names the connection."""

    connection_id: ConnectionId

    reply = operation.Reply
    rule = attrs.evolve(ROOT, body=(CONNECTION_ID,))

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        raise NotImplementedError  # only its document is made


def test_openapi_documents_404_for_a_connection_id_in_the_body() -> None:
    assert ProblemCode.NOT_FOUND in problem_codes(Touch)


class ShowOneSession(ShowSession):
    """An operation on a session, with an example."""

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        return (operation.Example("shown", cls(SESSION.id), Snapshot(session=SESSION)),)


class ListPage(ShowPage):
    """An operation that loads a page of the caller's connections, with an example."""

    def needs(self, caller: Caller) -> Needs:
        return Needs(connections=ConnectionsPage(caller.coordinate(USER)))

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        return (operation.Example("listed", cls(Needs())),)


class ListAfter(ListPage):
    """An operation that loads the page after the connection in its path."""

    rule = attrs.evolve(
        ROOT, path=f"{operation.BASE_PATH}/connections/{{connectionId}}:after", ids=(CONNECTION_ID,)
    )


class ShowConnection(ShowPage):
    """An operation that loads one connection, with an example."""

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        return (operation.Example("shown", cls(Needs(connection=ID))),)


class ShowChain(ShowPage):
    """An operation that loads a chain, with an example."""

    @classmethod
    def examples(cls) -> tuple[operation.Example, ...]:
        return (operation.Example("shown", cls(Needs(chain=ID))),)


class ShowLastSession(operation.UserOperation):
    """An operation on an app user that loads a session."""

    reply = SessionShown
    rule = ROOT

    def needs(self, caller: Caller) -> Needs:
        raise NotImplementedError  # only its document is made

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        raise NotImplementedError  # as above


@pytest.mark.parametrize(
    ("kind", "is_documented"),
    [
        (ShowSession, True),
        (ShowOneSession, True),
        (ShowLastSession, True),
        (ShowConnection, True),
        (ShowChain, True),
        (ListAfter, True),
        (ListPage, False),
        (GetAccountState, False),
    ],
)
def test_openapi_documents_404_only_for_operations_on_an_id(
    kind: type[operation.Operation], *, is_documented: bool
) -> None:
    assert (ProblemCode.NOT_FOUND in problem_codes(kind)) is is_documented


def test_custom_mutation_decided_without_new_ids_raises() -> None:
    asked = call(ShowPage(Needs(connection=ID)), "k-1")
    with pytest.raises(ArgumentError, match=r"^new_ids: must be given for a mutation, whose rule"):
        decide(asked, Snapshot(connection=pending()), START, new_ids=None)


@pytest.mark.parametrize("status", [199, 204, 205, 300, 409])
def test_operation_rule_with_a_bodiless_or_non_2xx_status_raises(status: int) -> None:
    with pytest.raises(ArgumentError, match=rf"^status: must be a success .* not {status}"):
        attrs.evolve(ROOT, status=status)
    assert attrs.evolve(ROOT, status=299).status == 299


def test_operation_rule_prints_the_window_of_its_rate_limit() -> None:
    assert str(attrs.evolve(ROOT, limit=ExactLog("asked", 3, 60))).endswith("needed, 3 a minute")
    assert str(attrs.evolve(ROOT, limit=ExactLog("asked", 3, 3600))).endswith("needed, 3 in 3600 s")
