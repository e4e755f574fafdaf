"""Tests of the steps that the comparison with `MemoryStore` sends, and of what it adopts."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Final

import pytest

from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.testing.conformance import HOOKS, model
from tests.support.kit import Reference
from tests.testing.conformance.answering import drive
from tests.testing.conformance.by_hand import context
from tests.testing.conformance.model_runs import Compare, Served, at, compare, failure, short

__all__ = ("compare",)

ALL_HOOKS: Final = frozenset(HOOKS)
CREATE: Final = "1 POST /connections appUserId=user-1 dataPackages=clinical_summary,labs key-1"
"""The first request of every run."""

# --- Drawing -------------------------------------------------------------------------------------


def test_one_seed_draws_the_same_steps_and_two_seeds_do_not() -> None:
    assert model.draw_steps("1", ALL_HOOKS) == model.draw_steps("1", ALL_HOOKS)
    assert model.draw_steps("1", ALL_HOOKS) != model.draw_steps("2", ALL_HOOKS)


def test_model_run_has_120_steps_with_32_bit_random_numbers() -> None:
    steps = model.draw_steps("1", ALL_HOOKS)
    assert len(steps) == 120
    picks = sorted(step.pick for step in steps)
    assert 0 <= picks[0] < 2**31 < picks[-1] < 2**32


@pytest.mark.parametrize("hooks", [frozenset[str](), frozenset({"expire", "tombstone"}), ALL_HOOKS])
def test_model_steps_that_the_hooks_allow_are_drawn_by_weight(hooks: frozenset[str]) -> None:
    weights = model.REQUESTS | {each: model.FACTS[each] for each in model.FACTS if each in hooks}
    drawn = Counter(step.kind for n in range(50) for step in model.draw_steps(str(n), hooks))
    assert drawn.keys() == weights.keys()
    for kind, weight in weights.items():
        assert drawn[kind] / drawn.total() == pytest.approx(
            weight / sum(weights.values()), abs=0.02
        )


def test_custom_fact_steps_are_drawn_only_with_record_fact_hook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(model.OTHER_FACTS, "other", Expired)
    drawn = [step.kind for n in range(50) for step in model.draw_steps(str(n), ALL_HOOKS)]
    assert drawn.count("other") / len(drawn) == pytest.approx(4 / 144, abs=0.01)
    without = model.draw_steps("1", ALL_HOOKS - {"record_fact"})
    assert "other" not in {step.kind for step in without}


# --- Requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("create", "POST /connections appUserId=user-{}"),
        ("initiate", "POST /curae-connect/initiate appUserId=user-{}"),
        ("account-state", "GET /curae-connect/account-state?appUserId=user-{}"),
        ("graduation", "POST /curae-connect/graduation-handoff appUserId=user-{}"),
    ],
)
def test_random_number_of_a_model_step_selects_app_and_user(
    compare: Compare, kind: str, sent: str
) -> None:
    lines = compare(*[(kind, pick) for pick in range(12)]).lines[1:]
    users = [1, 1, 2, 2, 3, 3] * 2
    expected = [f"{app} {sent.format(user)}" for app, user in zip([1, 2] * 6, users, strict=True)]
    assert [line[: len(start)] for line, start in zip(lines, expected, strict=True)] == expected


def test_create_step_asks_for_one_or_two_packages(compare: Compare) -> None:
    lines = compare(*[("create", pick) for pick in (0, 7, 8, 15, 16)]).lines
    assert lines == [
        CREATE,
        "1 POST /connections appUserId=user-1 dataPackages=clinical_summary key-2",
        "2 POST /connections appUserId=user-1 dataPackages=clinical_summary key-3",
        "1 POST /connections appUserId=user-2 dataPackages=clinical_summary,labs key-4",
        "2 POST /connections appUserId=user-2 dataPackages=clinical_summary,labs key-5",
        "1 POST /connections appUserId=user-3 dataPackages=clinical_summary key-6",
    ]


def test_initiate_steps_differ_in_prefer_signup(compare: Compare) -> None:
    lines = compare(*[("initiate", pick) for pick in (7, 8, 15, 16, 23, 24)]).lines[1:]
    assert [each.removeprefix("1 ").removeprefix("2 ") for each in lines] == [
        "POST /curae-connect/initiate appUserId=user-1 key-2",
        "POST /curae-connect/initiate appUserId=user-2 preferSignup=False key-3",
        "POST /curae-connect/initiate appUserId=user-2 preferSignup=False key-4",
        "POST /curae-connect/initiate appUserId=user-3 preferSignup=True key-5",
        "POST /curae-connect/initiate appUserId=user-3 preferSignup=True key-6",
        "POST /curae-connect/initiate appUserId=user-1 key-7",
    ]


def test_reuse_step_sends_recent_idempotency_key_with_new_body(compare: Compare) -> None:
    few = [("get", 0), ("reuse", 8), ("reuse", 24)]
    creates = [("create", 0)] * 5
    many = [("reuse", pick) for pick in (0, 9, 24, 32)]
    lines = compare(*few, *creates, *many, ("create", 0), ("reuse", 40)).lines
    assert [line for line in lines if "other" in line] == [
        "1 POST /connections appUserId=user-2 dataPackages=other key-1",
        "1 POST /connections appUserId=user-1 dataPackages=other key-1",
        "1 POST /connections appUserId=user-1 dataPackages=other key-6",
        "2 POST /connections appUserId=user-2 dataPackages=other key-6",
        "1 POST /connections appUserId=user-1 dataPackages=other key-5",
        "1 POST /connections appUserId=user-2 dataPackages=other key-5",
        "1 POST /connections appUserId=user-3 dataPackages=other key-5",
    ]


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("get", "GET /connections/c{}"),
        ("reconnect", "POST /connections/c{}:reconnect key"),
        ("app-revoke", "POST /connections/c{}:revoke key"),
    ],
)
def test_model_request_names_one_of_the_4_newest_connections(
    compare: Compare, kind: str, sent: str
) -> None:
    first, *lines = compare((kind, 9), *[("create", 0)] * 5).lines[1:]
    assert first.startswith(f"2 {sent.format(5)}")
    steps = [("create", 0)] * 5 + [(kind, pick) for pick in (0, 9, 16, 24, 32, 64)]
    lines = compare(*steps).lines[6:]
    expected = [
        f"{app} {sent.format(number)}"
        for app, number in ((1, 10), (2, 9), (1, 8), (1, 7), (1, 10), (1, 10))
    ]
    assert [line[: len(start)] for line, start in zip(lines, expected, strict=True)] == expected


def test_model_stranger_step_names_another_accounts_connection(
    compare: Compare,
) -> None:
    steps = [("create", 0)] * 4 + [("stranger", pick) for pick in (0, 63, 65, 136, 192)]
    assert compare(*steps).lines[5:] == [
        "3 GET /connections/c9",
        "3 GET /connections/c6",
        "3 POST /connections/c9:revoke key-6",
        "3 POST /connections/c8:reconnect key-7",
        "3 GET /connections/c9",
    ]


def test_model_again_step_repeats_one_of_the_last_12_requests(compare: Compare) -> None:
    once = compare(("again", 5), ("again", 1)).lines
    assert once == [CREATE] * 3
    steps = [("create", pick) for pick in range(12)]
    lines = compare(*steps, ("again", 11), ("again", 25), ("again", 11)).lines
    assert lines[-3:] == [lines[1], lines[12], lines[3]]


def test_model_burst_step_sends_11_initiates_of_one_app_user(compare: Compare) -> None:
    first, *lines = compare(("burst", 5)).lines
    assert first == CREATE
    assert lines == [
        f"2 POST /curae-connect/initiate appUserId=user-3 key-{number}" for number in range(2, 13)
    ]
    assert (
        compare(("burst", 2)).lines[1].startswith("1 POST /curae-connect/initiate appUserId=user-2")
    )


def test_model_burst_step_ends_at_the_first_wrong_response(compare: Compare) -> None:
    served = Served(change=at(4, status=500))
    what, log = failure(compare, ("burst", 5), ("create", 0), served=served)
    assert what == "answered 500 instead of 201 (rule entry-path.limited.silent)"
    callers = [json.loads(line)["request"]["headers"]["Authorization"] for line in log[4:]]
    assert callers == ["Bearer cae_live_app_2"] * 3


# --- Facts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "more"), [("tombstone", ""), ("graduate", " None")])
def test_tombstone_and_graduate_steps_vary_app_and_user(
    compare: Compare, kind: str, more: str
) -> None:
    lines = compare(*[(kind, pick) for pick in range(8)]).lines[1:]
    assert lines == [
        f"{kind} app-{app}/user-{user}{more}"
        for app, user in ((2, 1), (3, 1), (2, 2), (3, 2), (2, 3), (3, 3), (2, 1), (3, 1))
    ]


def test_complete_handoff_step_uses_one_of_3_newest_sessions(compare: Compare) -> None:
    steps = [("complete_handoff", 0), ("initiate", 0), ("complete_handoff", 1)]
    steps += [("initiate", pick) for pick in (1, 2, 3)]
    steps += [("complete_handoff", pick) for pick in (0, 1, 2, 3, 7, 8, 16)]
    assert [line for line in compare(*steps).lines if "complete" in line] == [
        "complete_handoff s6 platform-user-0",
        "complete_handoff s9 platform-user-0",
        "complete_handoff s8 platform-user-0",
        "complete_handoff s7 platform-user-0",
        "complete_handoff s9 platform-user-0",
        "complete_handoff s8 platform-user-0",
        "complete_handoff s7 platform-user-1",
        "complete_handoff s8 platform-user-0",
    ]


def test_expire_step_is_about_one_of_the_4_newest_connections(compare: Compare) -> None:
    steps = [("expire", 3)] + [("create", 0)] * 5 + [("expire", pick) for pick in range(5)]
    assert [line for line in compare(*steps).lines if "expire" in line] == [
        f"expire c{number}" for number in (5, 10, 9, 8, 7, 10)
    ]


@pytest.mark.parametrize(
    ("kind", "pick", "arguments", "logged"),
    [
        ("authorize", 7, "None", {"type": "connection.authorize"}),
        (
            "authorize",
            8,
            "1:00:00",
            {"type": "connection.authorize", "expiresAt": "2026-01-01T01:00:00.001Z"},
        ),
        (
            "authorize",
            16,
            "5:00:00",
            {"type": "connection.authorize", "expiresAt": "2026-01-01T05:00:00.001Z"},
        ),
        ("authorize", 24, "None", {"type": "connection.authorize"}),
        (
            "require_action",
            0,
            "portal_login",
            {"type": "connection.require_action", "reason": "portal_login"},
        ),
        ("expire", 0, "", {"type": "connection.expire"}),
        ("revoke", 7, "PATIENT", {"type": "connection.revoke", "actor": "PATIENT"}),
        ("revoke", 8, "PLATFORM", {"type": "connection.revoke", "actor": "PLATFORM"}),
        ("revoke", 16, "UPSTREAM", {"type": "connection.revoke", "actor": "UPSTREAM"}),
        ("revoke", 24, "PATIENT", {"type": "connection.revoke", "actor": "PATIENT"}),
    ],
)
def test_fact_step_calls_the_hook_of_the_server_and_is_logged(
    compare: Compare, kind: str, pick: int, arguments: str, logged: dict[str, object]
) -> None:
    steps = ((kind, pick), ("get", 0))
    assert compare(*steps).lines[1:] == [f"{kind} c5 {arguments}".rstrip(), "1 GET /connections/c5"]
    _, log = failure(compare, *steps, ("get", 0), served=Served(change=at(3, status=500)))
    facts = [json.loads(line)["fact"] for line in log if '"fact"' in line]
    assert facts == [logged | {"connectionId": "c5"}]


def test_custom_fact_in_a_model_step_uses_the_record_fact_hook(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model.OTHER_FACTS, "other", Expired)
    served = compare(("other", 0), ("get", 0))
    assert served.lines[1].startswith("record_fact Expired(")
    assert "c5" in served.lines[1]


def test_model_check_fails_if_a_hook_reports_another_outcome(compare: Compare) -> None:
    what, log = failure(
        compare, ("expire", 0), ("get", 0), served=Served(outcomes={"expire": "done"})
    )
    assert what == (
        "the outcome of the fact is done instead of ignored (rule connection.expire.pending)"
    )
    assert json.loads(log[-1])["fact"] == {"type": "connection.expire", "connectionId": "c5"}


def test_model_check_passes_if_a_hook_reports_no_outcome(compare: Compare) -> None:
    served = compare(("expire", 0), ("get", 0), served=Served(outcomes={"expire": None}))
    assert served.lines[1:] == ["expire c5", "1 GET /connections/c5"]


# --- The clock, and what the store adopts --------------------------------------------------------


def test_pass_time_step_waits_from_70_seconds_to_25_hours(compare: Compare) -> None:
    spans = ["0:01:10", "0:01:10", "0:11:00", "0:47:00", "5:10:00", "1 day, 1:00:00", "0:01:10"]
    lines = compare(*[("pass_time", pick) for pick in range(7)]).lines[1:]
    assert lines == [f"pass_time {each}" for each in spans]


def test_pass_time_step_moves_model_and_server_clocks_equally(compare: Compare) -> None:
    compare(("pass_time", 3), ("get", 0), ("initiate", 0), ("pass_time", 0), ("initiate", 0))
    _, log = failure(compare, ("pass_time", 3), ("get", 0), served=Served(change=at(2, status=500)))
    assert [json.loads(line)["at"] for line in log] == [
        *["2026-01-01T00:00:00.001Z"] * 4,
        "2026-01-01T00:47:00.001Z",
    ]


@pytest.mark.parametrize("kind", ["create", "initiate"])
def test_model_check_accepts_clock_advancing_15_s_per_request(compare: Compare, kind: str) -> None:
    server = Reference(tick=timedelta(seconds=15))
    compare(*[(kind, pick) for pick in (0, 2, 4, 0, 2, 4)], served=Served(server))


@pytest.mark.parametrize(
    ("kind", "name"), [("create", "connection.createdAt"), ("initiate", "session.createdAt")]
)
def test_model_check_fails_on_clock_advancing_16_s_per_request(
    compare: Compare, kind: str, name: str
) -> None:
    server = Reference(tick=timedelta(seconds=16))
    what, _ = failure(compare, (kind, 0), served=Served(server))
    assert what.startswith(f"body.{name} is ")


def test_replayed_response_does_not_turn_the_model_clock_back(compare: Compare) -> None:
    served = Served(Reference(tick=timedelta(seconds=5)), change=at(4, status=500))
    steps = ("create", 0), ("again", 1), ("get", 0)
    _, log = failure(compare, *steps, served=served)
    assert [json.loads(line)["at"][17:] for line in log[3:]] == ["05Z", "10Z", "10Z", "10Z"]


def test_model_store_begins_at_the_time_of_the_first_response(compare: Compare) -> None:
    for change, now in (
        ({}, "2026-01-01T00:00:00.001Z"),
        ({"connection__createdAt": None}, "2026-01-01T00:00:00.001Z"),
        ({"connection__updatedAt": None}, "2026-01-01T00:00:00.001Z"),
        ({"connection": None}, "2026-01-05T09:00:00Z"),
    ):
        served = Served(change=at(1, status=202, **change))
        what, log = failure(compare, ("get", 0), served=served)
        assert what == "answered 202 instead of 201 (rule operation.create-connection)"
        assert [json.loads(line)["at"] for line in log] == [now] * 4


@pytest.mark.parametrize("hours", [0.2, 2])
def test_model_store_uses_the_servers_hosted_page_lifetime(compare: Compare, hours: float) -> None:
    server = Reference(lifetime=timedelta(hours=hours))
    compare(("initiate", 8), ("create", 0), ("pass_time", 2), ("get", 0), served=Served(server))


@pytest.mark.parametrize("end", ["2026-01-01T00:00:00.002Z", "2025-01-01T00:00:00Z", "soon", None])
def test_model_check_expects_30_minutes_for_invalid_page_expiry(
    compare: Compare, end: str | None
) -> None:
    served = Served(change=at(2, nextAction__expiresAt=end))
    what, _ = failure(compare, ("create", 0), served=served)
    assert what == (
        f"body.nextAction.expiresAt is {json.dumps(end)} "
        'instead of "2026-01-01T00:30:00.002Z" (rule operation.create-connection)'
    )


@pytest.mark.parametrize("url", [None, 5, ["x"], "https://other.example/1"])
def test_model_comparison_accepts_any_next_action_url(compare: Compare, url: object) -> None:
    compare(("create", 0), served=Served(change=at(2, nextAction__url=url)))


@pytest.mark.parametrize(
    ("kind", "member", "taken"),
    [
        ("create", "connection", "c0ffee00-0000-4000-8000-000000000005"),
        ("initiate", "session", "c0ffee00-0000-4000-9000-000000000006"),
    ],
)
def test_model_rejects_a_new_id_that_is_in_use_or_not_a_uuid(
    compare: Compare, kind: str, member: str, taken: str
) -> None:
    for shown in (taken, "x"):
        served = Served(change=at(3, **{f"{member}__id": shown}))
        steps = ("initiate", 0), (kind, 0)
        what, _ = failure(compare, *steps, served=served)
        expected = f'body.{member}.id is "{short(shown)}" instead of "ab000000-0000-4000-8000-'
        assert what.startswith(expected)


# --- Rounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("too_short_by", "hooks"),
    [(timedelta(0), ALL_HOOKS), (timedelta(microseconds=1), ALL_HOOKS - {"pass_time"})],
)
def test_model_draws_no_wait_steps_if_their_sum_exceeds_max_time(
    monkeypatch: pytest.MonkeyPatch, too_short_by: timedelta, hooks: frozenset[str]
) -> None:
    drawn: list[tuple[str, frozenset[str]]] = []

    def note(seed: str, hooks: frozenset[str]) -> list[model.ModelStep]:
        drawn.append((seed, hooks))
        return []

    monkeypatch.setattr(model, "draw_steps", note)
    longest = sum(model.SPANS, model.LIFETIME)
    made = context(*ALL_HOOKS, max_time_per_check=longest - too_short_by)
    (check,) = model.CHECKS
    drive(check.begin(made), Served().outcome)
    assert drawn == [(f"seed {number}", hooks) for number in range(model.ROUNDS)]
