"""Tests of operations that a server adds: refusals, sessions of others, and hosted pages."""

from __future__ import annotations

from typing import Final

import attrs
import pytest

from curae_lifecycle.rules.credentials import CONNECTION_WRITE, Caller
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.outcomes import Refused
from curae_lifecycle.rules.problems import Problem, ProblemCode
from curae_lifecycle.rules.ratelimit import ExactLog
from curae_lifecycle.rules.session import CuraeConnectSession, EntryPath, HandoffState
from curae_lifecycle.rules.values import ConnectionId, NextAction, SessionId, parse_opaque
from curae_lifecycle.service.decide import decide, fingerprint
from curae_lifecycle.service.hosted_page import PageKind
from curae_lifecycle.service.members import CONNECTION_ID, Member
from curae_lifecycle.service.operations import operation
from curae_lifecycle.service.snapshot import Needs, Snapshot
from curae_lifecycle.service.writes import RecordWrite
from curae_lifecycle.stores.hosted_pages import hosted_page_for
from curae_lifecycle.web.openapi.document import problem_codes
from curae_lifecycle.web.respond import respond
from tests.support.server import ID, STRANGERS, call, new_ids
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
def test_only_a_final_404_or_409_is_kept_under_the_key(
    problem: Problem, status: int, *, is_kept: bool
) -> None:
    asked = call(Refuse(ID, problem), "k-1")
    decision = decide(asked, Snapshot(connection=pending()), START, new_ids=new_ids())
    answer = respond(decision)
    assert (answer.response.status, answer.rules[-1]) == (status, "refuse.always")
    assert [type(write) for write in answer.changes.writes] == [RecordWrite] * is_kept


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


def test_session_is_shown_to_its_owner_alone() -> None:
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
def test_page_of_a_next_action_alone_is_about_the_named_id(
    needed: Needs, kind: PageKind, subject: str
) -> None:
    page = hosted_page_for(call(ShowPage(needed), "k-1"), PageShown(new_ids().next_action), None)
    assert page is not None
    assert (page.kind, page.subject) == (kind, subject)


def test_page_about_nothing_raises_argument_error() -> None:
    with pytest.raises(ArgumentError, match=r"^reply: must be one with a connection or session"):
        hosted_page_for(call(ShowPage(Needs()), "k-1"), PageShown(new_ids().next_action), None)


# --- The row of the table, the document, the fingerprint --------------------------------------


@attrs.frozen
class Touch(operation.ConnectionOperation):
    """An operation whose body names the connection."""

    connection_id: ConnectionId

    reply = operation.Reply
    rule = attrs.evolve(ROOT, body=(CONNECTION_ID,))

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        raise NotImplementedError  # only its document is made


def test_document_has_the_404_of_a_connection_in_the_body() -> None:
    assert ProblemCode.NOT_FOUND in problem_codes(Touch)


@attrs.frozen
class Pair(operation.UserOperation):
    """An operation with two lists of texts."""

    ones: tuple[str, ...]
    others: tuple[str, ...]

    reply = operation.Reply
    rule = ROOT

    def decide(self, context: operation.OperationContext) -> operation.Ruling:
        raise NotImplementedError  # only its fingerprint is made


def test_texts_like_a_count_give_another_fingerprint() -> None:
    assert fingerprint(Pair(("a",), ("b", "\x003"))) != fingerprint(Pair(("a", "\x001", "b"), ()))


@pytest.mark.parametrize("status", [199, 204, 205, 300, 409])
def test_rule_with_a_status_without_a_body_is_refused(status: int) -> None:
    with pytest.raises(ArgumentError, match=rf"^status: must be a success .* not {status}"):
        attrs.evolve(ROOT, status=status)
    assert attrs.evolve(ROOT, status=299).status == 299


def test_rule_shows_the_window_of_its_limit() -> None:
    assert str(attrs.evolve(ROOT, limit=ExactLog("asked", 3, 60))).endswith("needed, 3 a minute")
    assert str(attrs.evolve(ROOT, limit=ExactLog("asked", 3, 3600))).endswith("needed, 3 in 3600 s")
