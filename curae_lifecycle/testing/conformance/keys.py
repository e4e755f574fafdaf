"""Checks of the header that carries an idempotency key."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.testing.conformance.client import (
    CREATED,
    OK,
    create,
    expect,
    get,
    id_of,
    new_app,
    same,
    status_of,
)
from curae_lifecycle.testing.conformance.gates import (
    KEYED,
    OPERATIONS,
    READS,
    having,
    refused,
    without,
)
from curae_lifecycle.testing.conformance.steps import (
    Check,
    Kit,
    Steps,
    send,
)


def _key_missing(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    for name in KEYED:
        request = without(OPERATIONS[name](app, connection_id), "idempotency-key")
        answer = yield from send(request)
        refused(answer, 400, "IDEMPOTENCY_KEY_REQUIRED", f"{name} without a key")
    seen = yield from get(app, connection_id)
    same(status_of(seen, "it"), "PENDING", "the connection's status", "nothing was executed")


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


def _key_invalid(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    for name in KEYED:
        plain = without(OPERATIONS[name](app, connection_id), "idempotency-key")
        for how, values in BAD_KEYS.items():
            given = [("Idempotency-Key", value) for value in values]
            answer = yield from send(having(plain, *given))
            refused(answer, 400, "IDEMPOTENCY_KEY_INVALID", f"{name} with {how}")
        spelled = having(plain, ("Idempotency-Key", "k-1"), ("idempotency-key", "k-1"))
        answer = yield from send(spelled)
        where = f"{name} with the header in two spellings"
        refused(answer, 400, "IDEMPOTENCY_KEY_INVALID", where)
    seen = yield from get(app, connection_id)
    same(status_of(seen, "it"), "PENDING", "the connection's status", "nothing was executed")


def _key_valid(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    longest = (app.new_key() + "x" * 255)[:255]
    for key in (longest, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~", "0", f'"{app.new_key()}"'):
        answer = yield from send(app.create("user", key=key))
        expect(answer, CREATED, f"create with a key of {len(key)} characters")


def _key_not_allowed(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    yield from send(app.initiate("user"))
    for values in ((app.new_key(),), ("",), ("a", "b")):
        given = [("Idempotency-Key", value) for value in values]
        answer = yield from send(app.graduate("user", *given))
        where = f"start a graduation hand-off with {len(values)} keys"
        refused(answer, 400, "IDEMPOTENCY_KEY_NOT_ALLOWED", where)
    expect((yield from send(app.graduate("user"))), CREATED, "the same without a key")


def _key_unused(kit: Kit) -> Steps[None]:
    app = yield from new_app(kit)
    connection_id = id_of((yield from create(app)))
    for name, build in READS.items():
        for value in ("", "k-1", '"k'):
            answer = yield from send(having(build(app, connection_id), ("Idempotency-Key", value)))
            expect(answer, OK, f"{name} with the key {value!r}")


CHECKS: Final = (
    Check(
        "request.key-required",
        "Every mutation but graduation needs a key.",
        _key_missing,
        rules=("request.key-required", "problem.key-required"),
    ),
    Check(
        "request.key-invalid",
        "A key that two parties could read differently is refused.",
        _key_invalid,
        rules=("request.key-invalid", "problem.key-invalid"),
    ),
    Check(
        "request.key-readable",
        "A key of 1 to 255 visible ASCII characters is taken.",
        _key_valid,
        rules=("request.key-invalid",),
    ),
    Check(
        "request.key-not-allowed",
        "A graduation hand-off rejects a key.",
        _key_not_allowed,
        rules=("request.key-not-allowed", "problem.key-not-allowed"),
    ),
    Check(
        "request.key-unused",
        "A read does not look at a key.",
        _key_unused,
        rules=("operation.get-connection", "operation.account-state"),
    ),
)
