"""Checks of the header that carries an idempotency key."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.service.operations.operation import KeyUse
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import CREATED, App, id_of, success
from curae_lifecycle.testing.conformance.gates import expect_documented_refusal, having, without
from curae_lifecycle.testing.conformance.operation_requests import (
    about,
    build_request,
    keyed,
    operations_where,
)
from curae_lifecycle.testing.conformance.steps import Steps, send

CHECKS: Final = Checks()


@CHECKS.add("request.key-required", rules=("request.key-required", "problem.key-required"))
def _key_missing(app: App) -> Steps[None]:
    """Every mutation but graduation needs a key."""
    connection_id = id_of((yield from app.created()))
    for kind in operations_where(app, keyed):
        request = without(build_request(app, kind, about(connection_id)), "idempotency-key")
        yield from expect_documented_refusal(request, 400, "IDEMPOTENCY_KEY_REQUIRED")
    yield from app.shows(connection_id, "PENDING")


BAD_KEYS: Final = {
    "an empty one": ("",),
    "empty quotes": ('""',),
    "an unclosed quote": ('"k',),
    "a quote that ends early": ('"k"x',),
    "parameters after it": ('"k";a=1',),
    "an escape that is none": ('"k\\n"',),
    "white space inside": ("k k",),
    "256 characters": ("k" * 256,),
    "two headers": ("k-1", "k-2"),
    "the same one twice": ("k-1", "k-1"),
}
"""Values of the header that are no key."""


@CHECKS.add("request.key-invalid", rules=("request.key-invalid", "problem.key-invalid"))
def _key_invalid(app: App) -> Steps[None]:
    """A key that two parties could read differently is refused."""
    connection_id = id_of((yield from app.created()))
    headers = [[("Idempotency-Key", value) for value in values] for values in BAD_KEYS.values()]
    headers.append([("Idempotency-Key", "k-1"), ("idempotency-key", "k-1")])
    for kind in operations_where(app, keyed):
        plain = without(build_request(app, kind, about(connection_id)), "idempotency-key")
        for given in headers:
            yield from expect_documented_refusal(
                having(plain, *given), 400, "IDEMPOTENCY_KEY_INVALID"
            )
    yield from app.shows(connection_id, "PENDING")


@CHECKS.add("request.key-readable", rules=("request.key-invalid",))
def _key_valid(app: App) -> Steps[None]:
    """A key of 1 to 255 visible ASCII characters is taken."""
    longest = (app.new_key() + "x" * 255)[:255]
    for key in (longest, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "0", f'"{app.new_key()}"'):
        yield from success(app.create("user", key=key), CREATED)


@CHECKS.add("request.key-not-allowed", rules=("request.key-not-allowed", "problem.key-not-allowed"))
def _key_not_allowed(app: App) -> Steps[None]:
    """A graduation hand-off rejects a key."""
    connection_id = id_of((yield from app.created()))
    yield from send(app.initiate("user"))
    for kind in operations_where(app, lambda rule: rule.key is KeyUse.NOT_ALLOWED):
        plain = build_request(app, kind, about(connection_id))
        for values in ((app.new_key(),), ("",), ("a", "b")):
            given = having(plain, *[("Idempotency-Key", value) for value in values])
            yield from expect_documented_refusal(given, 400, "IDEMPOTENCY_KEY_NOT_ALLOWED")
        yield from success(plain, kind.rule.status)


@CHECKS.add("request.key-unused", rules=("operation.get-connection", "operation.account-state"))
def _key_unused(app: App) -> Steps[None]:
    """A read does not look at a key."""
    connection_id = id_of((yield from app.created()))
    for kind in operations_where(app, lambda rule: rule.key is KeyUse.UNUSED):
        for value in ("", "k-1", '"k'):
            request = build_request(app, kind, about(connection_id), ("Idempotency-Key", value))
            yield from success(request, kind.rule.status)
