"""Checks of the header that carries an idempotency key."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.service.operations.operation import KeyUse
from curae_lifecycle.testing.conformance.check import Checks
from curae_lifecycle.testing.conformance.client import CREATED, App, success
from curae_lifecycle.testing.conformance.gates import expect_documented_refusal, having, without
from curae_lifecycle.testing.conformance.operation_requests import (
    build_request,
    build_successful_request,
    member_values,
    needs_key,
    operations_where,
)
from curae_lifecycle.testing.conformance.steps import Steps, send

CHECKS: Final = Checks()


@CHECKS.add("request.key-required", rules=("request.key-required", "problem.key-required"))
def _key_missing(app: App) -> Steps[None]:
    """Mutations other than graduation need an idempotency key."""
    connection_id = yield from app.created_id()
    for kind in operations_where(app, needs_key):
        request = without(build_request(app, kind, member_values(connection_id)), "idempotency-key")
        yield from expect_documented_refusal(request, 400, "IDEMPOTENCY_KEY_REQUIRED")
    yield from app.shows(connection_id, "PENDING")


BAD_KEYS: Final = {
    "an empty key": ("",),
    "empty quotes": ('""',),
    "an unclosed quote": ('"k',),
    "a quote that ends early": ('"k"x',),
    "parameters after the key": ('"k";a=1',),
    "an unknown escape": ('"k\\n"',),
    "white space inside": ("k k",),
    "256 characters": ("k" * 256,),
    "two headers": ("k-1", "k-2"),
    "the same header twice": ("k-1", "k-1"),
}
"""Faults of the header `Idempotency-Key`, each with the values of the headers to send."""


@CHECKS.add("request.key-invalid", rules=("request.key-invalid", "problem.key-invalid"))
def _key_invalid(app: App) -> Steps[None]:
    """Invalid keys, and keys in more than one header, are refused."""
    connection_id = yield from app.created_id()
    headers = [[("Idempotency-Key", value) for value in values] for values in BAD_KEYS.values()]
    headers.append([("Idempotency-Key", "k-1"), ("idempotency-key", "k-1")])
    for kind in operations_where(app, needs_key):
        plain = without(build_request(app, kind, member_values(connection_id)), "idempotency-key")
        for given in headers:
            yield from expect_documented_refusal(
                having(plain, *given), 400, "IDEMPOTENCY_KEY_INVALID"
            )
    yield from app.shows(connection_id, "PENDING")


@CHECKS.add("request.key-readable", rules=("request.key-invalid",))
def _key_valid(app: App) -> Steps[None]:
    """Keys of 1 to 255 visible ASCII characters are accepted."""
    longest = (app.new_key() + "x" * 255)[:255]
    for key in (longest, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "0", f'"{app.new_key()}"'):
        yield from success(app.create("user", key=key), CREATED)


@CHECKS.add("request.key-not-allowed", rules=("request.key-not-allowed", "problem.key-not-allowed"))
def _key_not_allowed(app: App) -> Steps[None]:
    """Graduation hand-offs reject an idempotency key."""
    connection_id = yield from app.created_id()
    yield from send(app.initiate("user"))
    for kind in operations_where(app, lambda rule: rule.key is KeyUse.NOT_ALLOWED):
        plain = build_request(app, kind, member_values(connection_id))
        for values in ((app.new_key(),), ("",), ("a", "b")):
            given = having(plain, *[("Idempotency-Key", value) for value in values])
            yield from expect_documented_refusal(given, 400, "IDEMPOTENCY_KEY_NOT_ALLOWED")
        yield from success(plain, kind.rule.status)


@CHECKS.add("request.key-unused", rules=("operation.get-connection", "operation.account-state"))
def _key_unused(app: App) -> Steps[None]:
    """Reads ignore an idempotency key, even an invalid one."""
    for kind in operations_where(app, lambda rule: rule.key is KeyUse.UNUSED):
        for value in ("", "k-1", '"k'):
            request = yield from build_successful_request(app, kind)
            yield from success(having(request, ("Idempotency-Key", value)), kind.rule.status)
