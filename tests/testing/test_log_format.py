"""Tests of the lines of a `replay` log for facts, callers and responses."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest

from curae_lifecycle.rules.connection import Actor
from curae_lifecycle.rules.values import ConnectionId, UserId
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.log_format import format_caller, format_fact, format_response
from tests.support.eighth import ConsentWithdrawn
from tests.support.server import CALLER, ID
from tests.support.strategies import COORDINATE, START


@attrs.frozen
class Counted(ConsentWithdrawn):
    """A fact with a number and a bool."""

    pages: int = 0
    is_signed: bool = False


@pytest.mark.parametrize(
    ("fact", "line"),
    [
        (Revoked(ID, Actor.PATIENT), {"connectionId": ID, "actor": "PATIENT"}),
        (
            Revoked(ID, Actor.APP, START),
            {"connectionId": ID, "actor": "APP", "happenedAt": "2026-01-01T00:00:00Z"},
        ),
        (
            Graduated(COORDINATE, UserId("u-1")),
            {
                "environment": "live",
                "appId": "app-1",
                "customerAccountId": COORDINATE.customer_account_id,
                "appUserId": "user-1",
                "userId": "u-1",
            },
        ),
        (
            Counted(ConnectionId("c-1"), "F-17", pages=3, is_signed=True),
            {"connectionId": "c-1", "formNumber": "F-17", "pages": 3, "isSigned": True},
        ),
    ],
)
def test_fact_line_has_one_member_per_given_field(fact: Fact, line: dict[str, Json]) -> None:
    assert format_fact(fact) == {"type": fact.kind, **line}


@attrs.frozen
class Weighed(ConsentWithdrawn):
    """A fact with a value that no log line can hold."""

    weight: Decimal = Decimal(1)


def test_formatting_a_fact_with_a_decimal_raises_type_error() -> None:
    with pytest.raises(
        TypeError, match="a log line cannot hold weight of Weighed: it is a Decimal, and must be"
    ):
        format_fact(Weighed(ID, "F-17"))


def test_caller_log_line_has_the_api_key_and_sorted_scopes() -> None:
    caller = attrs.evolve(CALLER, scopes=frozenset({"b:read", "a:write", "c:read"}))
    assert format_caller("cae_live_k1", caller) == {
        "apiKey": "cae_live_k1",
        "appId": "app-1",
        "customerAccountId": COORDINATE.customer_account_id,
        "scopes": ["a:write", "b:read", "c:read"],
        "environment": "live",
    }


def test_response_line_has_its_body_as_text_or_null() -> None:
    response = Response(200, (("etag", '"1"'), ("x-a", "b")), '{"name":"é"}'.encode())
    headers = {"etag": '"1"', "x-a": "b"}
    assert format_response(response) == {
        "status": 200,
        "headers": headers,
        "body": '{"name":"é"}',
    }
    assert format_response(attrs.evolve(response, status=304, body=b"")) == {
        "status": 304,
        "headers": headers,
        "body": None,
    }
    assert format_response(attrs.evolve(response, body=b"a\xff"))["body"] == r"a\xff"
