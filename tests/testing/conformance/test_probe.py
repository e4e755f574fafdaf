"""Tests of the probe, which asks whether a server answers a read at all."""

from __future__ import annotations

import pytest

from curae_lifecycle.testing.conformance import Failure, Request, Response
from curae_lifecycle.testing.conformance.probe import PROBE, down_failure, reason_not_run
from curae_lifecycle.testing.conformance.steps import NotConformingError, Step
from tests.testing.conformance.by_hand import context, play


def probe(*statuses: int) -> list[Step]:
    """Answer the reads of the probe with these statuses, and return what it sent."""
    answers = [Response(each, (), b"") for each in statuses]
    return play(PROBE.begin(context()), "text", *answers).steps[1:]


@pytest.mark.parametrize("statuses", [[200], [499], [500, 404], [503, 500, 429]])
def test_server_counts_as_up_after_one_probe_answer_below_500(statuses: list[int]) -> None:
    sent = probe(*statuses)
    assert len(sent) == len(statuses)
    for each in sent:
        assert isinstance(each, Request)
        assert each.method == "GET"
    assert len({each.target for each in sent if isinstance(each, Request)}) == len(sent)


def test_server_counts_as_down_after_three_probe_answers_of_5xx() -> None:
    with pytest.raises(NotConformingError) as raised:
        probe(500, 502, 599)
    assert raised.value.what == "3 more reads got 500, 502, 599"


def test_server_down_failure_shows_both_probe_and_check_errors() -> None:
    failure = Failure("a", "answered 502\n  after: x", may_be_down=True)
    down = down_failure(failure, Failure("server.answers", "3 more reads\n  after: y"))
    assert down == Failure(
        "a", "the server is down: 3 more reads\n  first seen: answered 502\n  after: x"
    )
    assert reason_not_run(down) == "the server was down since a"


def test_server_down_failure_shows_the_same_error_only_once() -> None:
    failure = Failure("a", "send raised it\n  after: x\n  check: a")
    down = down_failure(failure, Failure("server.answers", "send raised it\n  after: y"))
    assert down.message == "the server is down: send raised it\n  after: x\n  check: a"
