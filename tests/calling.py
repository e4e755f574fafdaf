"""Another service, and what the tests of a call out ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import curae_lifecycle as curae
from curae_lifecycle import NewIds, NextAction, Request, serve_calling_out
from curae_lifecycle.rules.idempotency import LostLease, RecordState
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.stores.calling_out import Renew
from curae_lifecycle.web.respond import Answer
from tests.instants import handle_at, record_at
from tests.server import ID, document, request
from tests.serving import Fault, Faulty, Numbered, faulty
from tests.strategies import LIFETIME, START, pending

LEASE: Final = 60
KEYED: Final = ("create", "reconnect", "initiate")
UNKNOWN: Final = LostLease.UNKNOWN


def failing(error: BaseException) -> Callable[[Renew], object]:
    def fail(_: Renew) -> None:
        raise error

    return fail


UNREACHABLE: Final = OSError("no network")


def prepared(operation: str, *commits: Fault | None) -> Faulty:
    """A store on which an operation may run."""
    made = faulty(commits, pending())
    if operation == "reconnect":
        record_at(made.store, curae.Revoked(ID, curae.Actor.APP), START)
    if operation == "graduation":
        handle_at(made.store, request("initiate", key="first"), START, Numbered(50)(START))
    return made


def nothing(_: Renew) -> None:
    """What happens during most calls."""


class Called:
    """Another service, which makes pages by number.

    Attributes:
        times: How often it was called.
        given: The ids that it was given last.
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
        return NextAction(f"https://pages.example/{self.times}", self.made.clock.now + LIFETIME)


def ask(
    made: Faulty,
    asked: Request,
    called: Called,
    *,
    lost_lease: LostLease = LostLease.EXECUTE,
    first: int = 2,
) -> Answer:
    return serve_calling_out(
        made, request=asked, mint=Numbered(first), call_out=called, lost_lease=lost_lease
    )


def retry(made: Faulty, asked: Request, called: Called) -> Answer:
    """The same request again, with ids of its own."""
    return ask(made, asked, called, first=20)


def state(made: Faulty, key: str = "k-1") -> RecordState | None:
    record = made.record_of(key)
    return None if record is None else record.state


def url(answer: Answer) -> object:
    action = document(answer)["nextAction"]
    assert isinstance(action, dict)
    return action["url"]


def executions(made: Faulty) -> list[Changes]:
    """What is delivered from now on."""
    delivered: list[Changes] = []
    made.store._deliver = delivered.append
    return delivered


def initiates(made: Faulty, times: int) -> None:
    for number in range(times):
        asked = request("initiate", key=f"other-{number}")
        answer = handle_at(
            made.store, asked, made.clock.now, Numbered(100 + number)(made.clock.now)
        )
        assert answer.response.status == 201
