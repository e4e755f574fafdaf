"""Tests of the steps that checks yield, and of the names that they send."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from curae_lifecycle.testing.conformance import ApiKeyRequest, Response
from curae_lifecycle.testing.conformance.steps import (
    Concurrently,
    HookCall,
    Names,
    call_bool_hook,
    later,
    make_key,
    run_concurrently,
    send,
    send_concurrently,
    use,
    wait,
)
from tests.testing.conformance.by_hand import ACCOUNT, app, context, play

UUID_4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MINUTE = timedelta(minutes=1)
ANSWER = Response(200, (), b"")


def test_generated_uuids_are_unique_and_of_version_4() -> None:
    names = Names("seed")
    made = [names.uuid() for _ in range(64)]
    assert all(UUID_4.fullmatch(each) for each in made)
    assert len(set(made)) == 64
    assert {each[19] for each in made} == set("89ab")


def test_generated_names_are_unique_and_begin_with_their_kind() -> None:
    names = Names("seed")
    made = [names.word("user") for _ in range(64)]
    assert all(re.fullmatch("user-[0-9a-f]{16}", each) for each in made)
    assert len(set(made)) == 64


def test_only_the_same_seed_gives_the_same_names() -> None:
    def drawn(seed: str) -> list[str]:
        names = Names(seed)
        return [names.uuid(), names.word("key")]

    assert drawn("1") == drawn("1")
    assert not set(drawn("1")) & set(drawn("2"))


def test_send_yields_the_request_and_returns_the_response() -> None:
    request = app().get("c")
    played = play(send(request), ANSWER)
    assert (played.steps, played.result) == ([request], ANSWER)


def test_concurrent_requests_are_one_step_with_all_outcomes() -> None:
    requests = app().get("c"), app().get("d")
    call = HookCall("expire", ("c",))
    played = play(send_concurrently(requests), (ANSWER, ANSWER))
    assert (played.steps, played.result) == ([Concurrently(requests)], (ANSWER, ANSWER))
    played = play(run_concurrently(requests[0], call), (ANSWER, "done"))
    assert (played.steps, played.result) == ([Concurrently((requests[0], call))], (ANSWER, "done"))


def test_hook_call_returns_the_outcome_of_the_hook() -> None:
    played = play(use("revoke", "c", 7), "ignored")
    assert (played.steps, played.result) == ([HookCall("revoke", ("c", 7))], "ignored")


@pytest.mark.parametrize(
    ("outcome", "holds"), [(True, True), (False, False), (None, False), ("yes", False)]
)
def test_bool_hook_counts_as_true_only_if_it_returns_true(outcome: object, *, holds: bool) -> None:
    played = play(call_bool_hook("may_read", "c", "labs"), outcome)
    assert played.steps == [HookCall("may_read", ("c", "labs"))]
    assert played.result is holds


def test_wait_step_calls_the_pass_time_hook_with_its_duration() -> None:
    assert play(wait(MINUTE), None).steps == [HookCall("pass_time", (MINUTE,))]


@pytest.mark.parametrize(
    ("hooks", "most", "waits"),
    [
        (("pass_time",), MINUTE, True),
        (("pass_time",), MINUTE - timedelta(microseconds=1), False),
        (("authorize",), MINUTE, False),
    ],
)
def test_kit_waits_only_with_a_clock_hook_and_enough_time(
    hooks: tuple[str, ...], most: timedelta, *, waits: bool
) -> None:
    kit = context(*hooks, max_time_per_check=most)
    expected = [HookCall("pass_time", (MINUTE,))] if waits else []
    assert play(later(kit, MINUTE), *[None] * len(expected)).steps == expected


def test_make_key_yields_the_key_request_and_returns_the_key() -> None:
    wanted = ApiKeyRequest("app", ACCOUNT)
    played = play(make_key(wanted), "text")
    assert (played.steps, played.result) == ([HookCall("make_key", (wanted,))], "text")
