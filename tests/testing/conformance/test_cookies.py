"""Tests of the check that replays contain no cookie of the first response."""

from __future__ import annotations

from itertools import count

import attrs
import pytest

from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.conformance import CHECKS, Request, Response
from tests.proof.bugs.kit import server
from tests.proof.bugs.service import Service
from tests.testing.conformance.transcript import Run

(CHECK,) = [each for each in CHECKS if each.name == "idempotency.cookies"]


@pytest.mark.parametrize(
    ("created", "read", "message"),
    [
        ("visit={}", "visit={}", None),
        ("visit=1", "visit=1", None),
        ("visit=1", "visit=2", "a Set-Cookie header was replayed"),
    ],
)
def test_replay_may_repeat_a_cookie_only_if_reads_also_get_it(
    created: str, read: str, message: str | None
) -> None:
    right, numbers = server(Service(Settings())), count(1)

    def send(request: Request) -> Response:
        answer = right.send(request)
        cookie = (read if request.method == "GET" else created).format(next(numbers))
        return attrs.evolve(answer, headers=(*answer.headers, ("set-cookie", cookie)))

    assert Run(attrs.evolve(right, send=send)).play(CHECK) == message
