"""Tests that the kit finds secrets in any response."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from curae_lifecycle.testing.conformance import ApiKeyRequest, Request, Response, run
from tests.support.kit import Reference, written

CHECK = "law-13.nothing-internal"


class Telling(Reference):
    """A server that shows the API key, or the app's id, in responses of some statuses."""

    def __init__(
        self,
        statuses: set[int],
        show: Callable[[Response, str], Response],
        *,
        shows_app_id: bool = False,
    ) -> None:
        super().__init__()
        self.app_id = ""
        self.statuses = statuses
        self.show = show
        self.shows_app_id = shows_app_id

    def make_key(self, wanted: ApiKeyRequest) -> str:
        self.app_id = wanted.app_id
        return super().make_key(wanted)

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        secret = self.app_id if self.shows_app_id else dict(request.headers)["Authorization"]
        return self.show(answer, secret) if answer.status in self.statuses else answer


def in_detail(answer: Response, secret: str) -> Response:
    return written(answer, {"detail": f"refused for {secret}"})


def in_header(answer: Response, secret: str) -> Response:
    return attrs.evolve(answer, headers=(*answer.headers, ("x-debug", secret)))


def failure(server: Telling) -> str:
    (failed,) = run(server.server(), only=[CHECK]).failed
    return failed.message


@pytest.mark.parametrize("show", [in_detail, in_header])
@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_kit_fails_a_problem_that_contains_the_api_key(
    status: int, show: Callable[[Response, str], Response]
) -> None:
    assert "the response contains the API key" in failure(Telling({status}, show))


def test_kit_fails_a_401_that_repeats_the_api_key_in_a_header() -> None:
    assert "contains the unknown API key" in failure(Telling({401}, in_header))


def test_kit_fails_a_problem_that_contains_the_app_id() -> None:
    assert "contains the app's id" in failure(Telling({404}, in_detail, shows_app_id=True))
