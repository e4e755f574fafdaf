"""Tests of law 12 and related laws over interleaved store calls."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import cycle
from typing import Final

import attrs
import pytest

from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules.idempotency import Attempt, Record, RecordState
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.service.hosted_page import HostedPage
from curae_lifecycle.service.response import Response
from curae_lifecycle.stores import external_call, request_loop
from curae_lifecycle.stores.contract import Loaded
from curae_lifecycle.stores.external_call import _Claim, _RequestWithExternalCall
from curae_lifecycle.web.respond import Answer
from tests.proof.stateful.running import Size, run
from tests.proof.stateful.serving import SITUATIONS
from tests.proof.stateful.serving_chosen import ServingMachine, play


@pytest.fixture(autouse=True)
def same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes lease lengths deterministic, and below a whole second apart."""
    monkeypatch.setattr(external_call, "random_microseconds", partial(next, cycle(range(1, 1000))))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Silences the log of the thousands of planned failures."""
    log = logging.getLogger("curae_lifecycle.stores.retry")
    log.disabled = True
    yield
    log.disabled = False


@pytest.mark.slow
def test_serve_keeps_the_laws_under_hypothesis_interleavings() -> None:
    run(ServingMachine, Size(1, 60, 30))


def play_all() -> Counter[str]:
    return sum((play(seed, 60) for seed in range(300)), Counter[str]())


@pytest.mark.slow
def test_serve_keeps_the_laws_under_seeded_interleavings() -> None:
    seen = play_all()
    assert {name: seen[name] for name in SITUATIONS if seen[name] < 5} == {}


# --- Loops with one mistake each ------------------------------------------------------------


def takes_anothers_record_for_its_own(patch: pytest.MonkeyPatch) -> None:
    """Compare token and instant only, although two workers may start at one instant."""

    def stored_claim(self: _RequestWithExternalCall, record: Record | None) -> _Claim | None:
        for each in self.claims:
            if (
                record
                and each.running
                and record.seen_at == each.running.seen_at
                and record.token == each.running.token
                and record.state == each.running.state
            ):
                return each
        return None

    patch.setattr(_RequestWithExternalCall, "_stored_claim", stored_claim)


def answers_what_was_not_stored(patch: pytest.MonkeyPatch) -> None:
    """Ignore whether the store accepted a commit."""

    async def commit(
        self: request_loop.RequestAttempts, loaded: Loaded, answer: Answer, page: HostedPage | None
    ) -> Answer:
        await self.store.commit(loaded, answer.changes, page)
        return answer

    patch.setattr(request_loop.RequestAttempts, "commit", commit)


def ends_whatever_became_of_its_lease(patch: pytest.MonkeyPatch) -> None:
    """Overwrite the record of the worker that took over."""

    def complete(
        record: Record | None, attempt: Attempt, response: Response, now: datetime
    ) -> Done[Record]:
        assert record is not None
        done = attrs.evolve(
            record, state=RecordState.COMPLETED, lease_until=None, response=response.to_storable()
        )
        return Done(attrs.evolve(done, seen_at=max(now, record.seen_at)), attempt.rules)

    patch.setattr(attempts, "complete", complete)


def lets_go_of_what_may_have_happened(patch: pytest.MonkeyPatch) -> None:
    """Release the key after a call that must not be made twice."""

    async def release(self: _RequestWithExternalCall) -> bool | None:
        return await self._update_record(attempts.release)

    patch.setattr(_RequestWithExternalCall, "_release", release)


def calls_again_where_it_lost_a_race(patch: pytest.MonkeyPatch) -> None:
    """Repeat everything after a lost race, even the call."""
    answer_once = _RequestWithExternalCall._answer

    async def answer(self: _RequestWithExternalCall) -> Answer | None:
        return await answer_once(self) or await answer_once(self)

    patch.setattr(_RequestWithExternalCall, "_answer", answer)


MISTAKES: Final[list[tuple[Callable[[pytest.MonkeyPatch], None], str]]] = [
    (takes_anothers_record_for_its_own, "without having taken its key"),
    (answers_what_was_not_stored, "an answer that is not kept"),
    (ends_whatever_became_of_its_lease, "law 12 is broken"),
    (lets_go_of_what_may_have_happened, "a second call, where it does harm"),
    (calls_again_where_it_lost_a_race, "one request called out twice"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("mistake", "said"), MISTAKES)
def test_broken_serve_retry_loop_breaks_a_law(
    mistake: Callable[[pytest.MonkeyPatch], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    with pytest.raises(AssertionError, match=said):
        play_all()
