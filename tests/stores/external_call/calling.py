"""A fake external service, and helpers for the tests of external calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import curae_lifecycle as curae
from curae_lifecycle import NewIds, NextAction, Request, serve_with_external_call
from curae_lifecycle.rules.idempotency import LostLeaseAction, RecordState
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.stores.external_call import Renew
from curae_lifecycle.stores.retry import RetryStats
from curae_lifecycle.web.respond import Answer
from tests.support.instants import handle_at, record_at
from tests.support.server import ID, document, request
from tests.support.serving import Fault, Faulty, Numbered, faulty
from tests.support.strategies import NEXT_ACTION_LIFETIME, START, pending

LEASE: Final = 60
KEYED: Final = ("create", "reconnect", "initiate")
UNKNOWN: Final = LostLeaseAction.UNKNOWN


def failing(error: BaseException) -> Callable[[Renew], object]:
    def fail(_: Renew) -> None:
        raise error

    return fail


UNREACHABLE: Final = OSError("no network")


def prepared(operation: str, *commits: Fault | None) -> Faulty:
    """Return a store on which an operation can run."""
    made = faulty(commits, pending())
    if operation == "reconnect":
        record_at(made.store, curae.Revoked(ID, curae.Actor.APP), START)
    if operation == "graduation":
        handle_at(made.store, request("initiate", key="first"), START, new_ids=Numbered(50)(START))
    return made


def nothing(_: Renew) -> None:
    """Do nothing during the call."""


class Called:
    """A fake external service that numbers its pages.

    Attributes:
        times: How often it was called.
        given: The ids of the last call.
    """

    def __init__(self, made: Faulty, meanwhile: Callable[[Renew], object] = nothing) -> None:
        self.made = made
        self.meanwhile = meanwhile
        self.times = 0
        self.given: NewIds | None = None

    def __call__(self, new_ids: NewIds, renew: Renew) -> NextAction:
        self.times += 1
        self.given = new_ids
        self.meanwhile(renew)
        return NextAction(
            f"https://pages.example/{self.times}", self.made.clock.now + NEXT_ACTION_LIFETIME
        )


def ask(
    made: Faulty,
    asked: Request,
    called: Called,
    *,
    lost_lease: LostLeaseAction = LostLeaseAction.EXECUTE,
    first: int = 2,
    stats: RetryStats | None = None,
) -> Answer:
    return serve_with_external_call(
        made,
        request=asked,
        id_factory=Numbered(first),
        make_next_action=called,
        lost_lease=lost_lease,
        stats=stats,
    )


def retry(made: Faulty, asked: Request, called: Called) -> Answer:
    """Send the same request again, with new ids."""
    return ask(made, asked, called, first=20)


def state(made: Faulty, key: str = "k-1") -> RecordState | None:
    record = made.record_of(key)
    return None if record is None else record.state


def url(answer: Answer) -> object:
    action = document(answer)["nextAction"]
    assert isinstance(action, dict)
    return action["url"]


def executions(made: Faulty) -> list[Changes]:
    """Return the list that collects the changes delivered from now on."""
    delivered: list[Changes] = []
    made.store.deliver = delivered.append
    return delivered


def initiates(made: Faulty, times: int) -> None:
    for number in range(times):
        asked = request("initiate", key=f"other-{number}")
        answer = handle_at(
            made.store, asked, made.clock.now, new_ids=Numbered(100 + number)(made.clock.now)
        )
        assert answer.response.status == 201
