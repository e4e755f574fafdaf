"""A page that was replaced cannot act: facts that name the hosted page that they come from."""

from __future__ import annotations

import json

import pytest

from curae_lifecycle import (
    ActionRequired,
    Actor,
    Authorized,
    ConnectionId,
    Done,
    Expired,
    Graduated,
    HandoffCompleted,
    Ignored,
    ProblemCode,
    Refused,
    Revoked,
    SessionId,
    Tombstoned,
    UserId,
)
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.connection import Status
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.hosted_page import url_digest
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import PageWrite
from tests.proof.second.client import (
    CONNECT,
    HOUR,
    MINUTE,
    SECOND,
    START,
    World,
    coordinate,
    id_of,
    url_of,
    wire,
)


def is_not_found(answer: FactAnswer) -> bool:
    return isinstance(answer, Refused) and answer.problem.code is ProblemCode.NOT_FOUND


def reissued(world: World) -> tuple[str, str, str]:
    """Return a successor with its first URL, which was replaced, and its present one."""
    old = id_of(world.create())
    world.step(HOUR)
    first, second = world.reconnect(old), world.reconnect(old)
    assert id_of(first) == id_of(second)
    return id_of(second), url_of(first), url_of(second)


def version_of(world: World, url: str) -> int:
    page = world.inner.load(Needs(page=url_digest(url))).snapshot.page
    assert page is not None
    return page.version


def test_fact_naming_its_live_hosted_page_bumps_the_page_version(world: World) -> None:
    made = world.create()
    before = version_of(world, url_of(made))
    answer = world.authorize(id_of(made), page_url=url_of(made))
    assert isinstance(answer, Done)
    assert any(isinstance(each, PageWrite) for each in answer.value.writes)
    assert version_of(world, url_of(made)) == before + 1


def test_fact_naming_a_replaced_hosted_page_gets_not_found(world: World) -> None:
    successor, earlier, present = reissued(world)
    answer = world.authorize(successor, page_url=earlier)
    assert is_not_found(answer)
    assert isinstance(answer, Refused)
    assert answer.rules == ("request.ownership",)
    assert world.get(successor)["status"] == "PENDING"
    assert isinstance(world.authorize(successor, page_url=present), Done)


def test_fact_is_refused_if_its_page_is_replaced_before_commit(world: World) -> None:
    old = id_of(world.create())
    world.step(HOUR)
    first = world.reconnect(old)
    world.store.before_commit = lambda: world.reconnect(old)
    assert is_not_found(world.authorize(id_of(first), page_url=url_of(first)))
    assert world.row(id_of(first)).status is Status.PENDING


def test_fact_naming_no_hosted_page_succeeds_after_a_replacement(world: World) -> None:
    successor, _, _ = reissued(world)
    assert isinstance(world.authorize(successor), Done)


def test_fact_naming_an_unknown_hosted_page_gets_not_found(world: World) -> None:
    made = id_of(world.create())
    assert is_not_found(world.authorize(made, page_url="https://connect.example/none"))


def test_fact_naming_a_purged_hosted_page_gets_not_found(world: World) -> None:
    made = world.create()
    world.step(HOUR)
    world.inner.purge()
    late = START + MINUTE
    assert is_not_found(world.authorize(id_of(made), happened_at=late, page_url=url_of(made)))
    assert isinstance(world.authorize(id_of(made), happened_at=late), Done)


def test_fact_naming_another_connections_hosted_page_is_refused(world: World) -> None:
    one, other = world.create(), world.create()
    assert is_not_found(world.authorize(id_of(one), page_url=url_of(other)))
    assert world.get(id_of(one))["status"] == "PENDING"


def test_connection_fact_naming_a_sessions_page_is_refused(world: World) -> None:
    one, other = world.create(), world.initiate(prefer_signup=True)
    assert is_not_found(world.authorize(id_of(one), page_url=url_of(other)))


def test_repeated_fact_naming_its_live_hosted_page_is_ignored(world: World) -> None:
    made = world.create()
    world.authorize(id_of(made), page_url=url_of(made))
    before = world.row(id_of(made))
    assert isinstance(world.authorize(id_of(made), page_url=url_of(made)), Ignored)
    assert world.row(id_of(made)) == before


def test_authorization_naming_expired_page_must_predate_expiry(world: World) -> None:
    made, other = world.create(), world.create()
    world.step(30 * MINUTE + SECOND)
    assert world.inner.hosted_page(url_of(made)) is None
    lapsed = world.authorize(id_of(made), page_url=url_of(made))
    assert isinstance(lapsed, Refused)
    assert lapsed.problem.code is ProblemCode.HANDOFF_LAPSED
    late = world.authorize(id_of(other), happened_at=START, page_url=url_of(other))
    assert isinstance(late, Done)


def test_fact_with_live_page_but_unknown_connection_is_not_found(world: World) -> None:
    made = world.create()
    unknown = "00000000-0000-4000-8000-00000000ffff"
    assert is_not_found(world.authorize(unknown, page_url=url_of(made)))


@pytest.mark.parametrize("which", ["action", "expired", "revoked", "authorized"])
def test_every_connection_fact_naming_a_replaced_page_is_refused(world: World, which: str) -> None:
    successor, earlier, present = reissued(world)
    of = ConnectionId(successor)

    def fact(url: str | None) -> Fact:
        facts: dict[str, Fact] = {
            "action": ActionRequired(of, "portal_login", page_url=url),
            "expired": Expired(of, page_url=url),
            "revoked": Revoked(of, Actor.PATIENT, page_url=url),
            "authorized": Authorized(of, page_url=url),
        }
        return facts[which]

    assert is_not_found(world.record(fact(earlier)))
    assert not is_not_found(world.record(fact(present)))
    assert not is_not_found(world.record(fact(None)))


def test_handoff_naming_another_sessions_hosted_page_is_refused(world: World) -> None:
    one, other = world.initiate(prefer_signup=True), world.initiate(prefer_signup=True)

    def completed(url: str) -> FactAnswer:
        return world.record(HandoffCompleted(SessionId(id_of(one)), UserId("u-1"), page_url=url))

    assert is_not_found(completed(url_of(other)))
    assert isinstance(completed(url_of(one)), Done)
    assert isinstance(completed(url_of(one)), Ignored)


# Graduations


def graduation_url(world: World) -> str:
    return url_of(world.send("POST", f"{CONNECT}/graduation-handoff", {"appUserId": "ada"}))


def bound_user(world: World) -> UserId:
    kept = world.binding()
    assert kept is not None
    assert kept.user_id is not None
    return kept.user_id


def test_graduation_fact_naming_its_page_and_user_succeeds(world: World) -> None:
    world.initiate()
    url = graduation_url(world)
    answer = world.record(Graduated(coordinate(), bound_user(world), page_url=url))
    assert isinstance(answer, Done)
    assert world.account_state() == "ACTIVE"


def test_graduation_fact_naming_a_page_but_no_user_is_refused(world: World) -> None:
    world.initiate()
    url = graduation_url(world)
    assert is_not_found(world.record(Graduated(coordinate(), page_url=url)))


def test_graduation_fact_naming_a_replaced_page_is_refused(world: World) -> None:
    world.initiate()
    earlier, present = graduation_url(world), graduation_url(world)
    user = bound_user(world)
    assert is_not_found(world.record(Graduated(coordinate(), user, page_url=earlier)))
    assert isinstance(world.record(Graduated(coordinate(), user, page_url=present)), Done)


def test_graduation_fact_naming_an_earlier_users_page_is_refused(world: World) -> None:
    world.initiate()
    url, first = graduation_url(world), bound_user(world)
    world.tombstone()
    world.initiate()
    assert is_not_found(world.record(Graduated(coordinate(), bound_user(world), page_url=url)))
    answer = world.record(Graduated(coordinate(), first, page_url=url))
    assert isinstance(answer, Refused)
    assert world.account_state() == "LIMITED"


def test_tombstone_fact_accepts_no_hosted_page_url() -> None:
    with pytest.raises(TypeError):
        Tombstoned(  # type: ignore[call-arg]  # it has no such argument
            coordinate(),
            page_url="https://connect.example/1",  # pyright: ignore[reportCallIssue] - as above
        )


def test_repr_of_a_fact_hides_its_hosted_page_url() -> None:
    fact = Authorized(ConnectionId("c"), page_url="https://connect.example/secret")
    assert "secret" not in repr(fact)


# In a log


def run(*lines: dict[str, object]) -> list[dict[str, object]]:
    """Return the answers to the lines of a log, one second apart."""
    raw = [
        json.dumps({"at": wire(START + number * SECOND), **line}).encode()
        for number, line in enumerate(lines)
    ]
    return [dict(each.answer) for each in replay(raw)]


REGISTER: dict[str, object] = {
    "register": {
        "apiKey": "cae_live_k1",
        "appId": "app-1",
        "customerAccountId": "d8c60791-7301-441c-98e8-5bea9a162d9b",
        "scopes": ["connection:write"],
        "environment": "live",
    }
}
CREATE: dict[str, object] = {
    "as": "c1",
    "request": {
        "method": "POST",
        "path": "/api/sdk/v1/connections",
        "headers": {"Authorization": "Bearer cae_live_k1", "Idempotency-Key": "k-1"},
        "body": {"appUserId": "ada", "dataPackages": ["clinical_summary"]},
    },
}


def authorize_by(page_url: str) -> dict[str, object]:
    return {
        "fact": {
            "type": "connection.authorize",
            "connectionId": "{c1.connection.id}",
            "pageUrl": page_url,
        }
    }


def test_fact_log_line_naming_an_unknown_hosted_page_is_refused() -> None:
    good, unknown = authorize_by("{c1.nextAction.url}"), authorize_by("https://x.example/")
    refused, done = run(REGISTER, CREATE, unknown, good)[2:]
    assert (refused["outcome"], refused["code"]) == ("refused", "NOT_FOUND")
    assert done["outcome"] == "done"


def test_fact_log_line_with_an_empty_page_url_gets_an_error() -> None:
    assert "error" in run(REGISTER, CREATE, authorize_by(""))[2]


def test_tombstone_log_line_with_a_page_url_gets_an_error() -> None:
    account = "d8c60791-7301-441c-98e8-5bea9a162d9b"
    members = {"customerAccountId": account, "appId": "app-1", "appUserId": "ada"}
    fact = {"type": "binding.tombstone", **members}
    line: dict[str, object] = {"fact": fact}
    named: dict[str, object] = {"fact": {**fact, "pageUrl": "https://x.example/"}}
    done, broken = run(REGISTER, line, named)[1:]
    assert done["outcome"] == "done"
    assert "error" in broken
