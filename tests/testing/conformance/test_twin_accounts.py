"""Tests of the ids that the kit takes for apps and accounts that look alike."""

from __future__ import annotations

import attrs
import pytest

from curae_lifecycle.testing.conformance import CHECKS, ApiKeyRequest
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.steps import HookCall
from curae_lifecycle.web.request import Request
from tests.support.kit import Reference
from tests.testing.conformance.by_hand import app

(TWINS_CHECK,) = [each for each in CHECKS if each.name == "customer-account.twins"]
MIDDLE = "affee00-0000-4000-8000-00000000000"


def twins_of(account: str) -> list[str]:
    """Return the accounts for which the check makes other API keys."""
    reference, made = Reference(), list[str]()
    wanted = attrs.evolve(app().key_request, customer_account_id=account)
    steps = TWINS_CHECK.steps(App(reference.make_key(wanted), wanted, app().context))
    outcome: object = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration:
            return made
        if isinstance(step, HookCall):
            (other,) = step.arguments
            assert isinstance(other, ApiKeyRequest)
            made.append(other.customer_account_id)
            outcome = reference.make_key(other)
        else:
            assert isinstance(step, Request)
            outcome = reference.send(step)


@pytest.mark.parametrize(
    ("first", "last", "other_first", "other_last"),
    [("c", "f", "0", "0"), ("0", "0", "1", "1"), ("1", "0", "0", "1"), ("0", "1", "1", "0")],
)
def test_look_alike_accounts_differ_in_their_first_or_last_digit(
    first: str, last: str, *, other_first: str, other_last: str
) -> None:
    expected = [f"{first}{MIDDLE}{other_last}", f"{other_first}{MIDDLE}{last}"]
    assert twins_of(f"{first}{MIDDLE}{last}") == expected
