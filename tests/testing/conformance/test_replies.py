"""Tests that the kit finds secrets in any response, and a success that is not strict JSON."""

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


class Rewriting(Reference):
    """A server that writes the body of each success in its own way."""

    def __init__(self, rewrite: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self.rewrite = rewrite

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        is_success = answer.status < 300
        return attrs.evolve(answer, body=self.rewrite(answer.body)) if is_success else answer


def repeat_connection(body: bytes) -> bytes:
    return body.replace(b"{", b'{"connection":{"appId":"internal"},', 1)


def encode_as_utf_16(body: bytes) -> bytes:
    return body.decode().encode("utf-16")


def add_byte_order_mark(body: bytes) -> bytes:
    return body.decode().encode("utf-8-sig")


@pytest.mark.parametrize("rewrite", [repeat_connection, encode_as_utf_16, add_byte_order_mark])
def test_kit_fails_a_success_that_clients_read_differently(
    rewrite: Callable[[bytes], bytes],
) -> None:
    (failed,) = run(Rewriting(rewrite).server(), only=["operation.create-connection"]).failed
    why = (
        "a member is repeated"
        if rewrite is repeat_connection
        else "the body is not JSON in UTF-8, or has a byte order mark, NaN or Infinity"
    )
    said = f"the server answered 201 with a body that is not a JSON object: {why}"
    assert failed.message.splitlines()[0] == said
