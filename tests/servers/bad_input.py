"""Requests that are wrong at the level of bytes, and the response to each."""

from __future__ import annotations

import json

from tests.support.wire.raw import BASE, BODY, USER, key

UPPER = b"6B7F2A52-0D5E-4A34-9F57-0A8F5F1C2D01"
CONNECTIONS = BASE + b"/connections"
TOO_LONG = b'{"appUserId": "' + b"x" * 1_000_000 + b'", "dataPackages": ["labs"]}'
PACKAGES = [f"p_{number}_".ljust(64, "x") for number in range(64)]
LONGEST = json.dumps({"appUserId": USER, "dataPackages": PACKAGES}).encode().ljust(65_536)
BROKEN_TEXT = BODY.replace(b"a-user", b"\xff\xfe")

ANSWERED: dict[str, tuple[tuple[bytes, ...], bytes, str]] = {
    "a body of a megabyte": ((b"POST", CONNECTIONS, key(1)), TOO_LONG, "400 BAD_REQUEST"),
    "the longest body": ((b"POST", CONNECTIONS, key(16)), LONGEST, "201"),
    "broken UTF-8": ((b"POST", CONNECTIONS, key(2)), BROKEN_TEXT, "400 BAD_REQUEST"),
    "a body that is called plain text": (
        (b"POST", CONNECTIONS, key(3), b"Content-Type: text/plain"),
        BODY,
        "201",
    ),
    "two keys": ((b"POST", CONNECTIONS, key(4), key(5)), BODY, "400 IDEMPOTENCY_KEY_INVALID"),
    "one key twice": ((b"POST", CONNECTIONS, key(6), key(6)), BODY, "400 IDEMPOTENCY_KEY_INVALID"),
    "two spellings of one header": (
        (b"POST", CONNECTIONS, b"Idempotency-Key: one", b"IDEMPOTENCY-KEY: two"),
        BODY,
        "400 IDEMPOTENCY_KEY_INVALID",
    ),
    "a key with a comma": ((b"POST", CONNECTIONS, b"Idempotency-Key: one,two"), BODY, "201"),
    "an upgrade to a WebSocket": (
        (
            *(b"GET", CONNECTIONS + b"/" + UPPER, b"Connection: Upgrade", b"Upgrade: websocket"),
            *(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        ),
        b"",
        "404 NOT_FOUND",
    ),
    "two credentials": (
        (b"POST", CONNECTIONS, key(7), b"Authorization: Bearer another"),
        BODY,
        "401 UNAUTHENTICATED",
    ),
    "a key that ends in a header of its own": (
        (b"POST", CONNECTIONS, b"Idempotency-Key: one\r\nIdempotency-Key: two"),
        BODY,
        "400 IDEMPOTENCY_KEY_INVALID",
    ),
    "a key that is no ASCII": (
        (b"POST", CONNECTIONS, b"Idempotency-Key: \xe9"),
        BODY,
        "400 IDEMPOTENCY_KEY_INVALID",
    ),
    "a header spelled with an underscore": (
        (b"POST", CONNECTIONS, b"Idempotency_Key: one"),
        BODY,
        "400 IDEMPOTENCY_KEY_REQUIRED",
    ),
    "an upper-case id": ((b"GET", CONNECTIONS + b"/" + UPPER), b"", "404 NOT_FOUND"),
    "an escaped slash": ((b"GET", BASE + b"%2fconnections%2f" + UPPER), b"", "404 NOT_FOUND"),
    "an escaped slash in an id": (
        (b"GET", CONNECTIONS + b"/" + UPPER + b"%2f.."),
        b"",
        "400 BAD_REQUEST",
    ),
    "a path with dots": ((b"GET", BASE + b"/x/../connections/" + UPPER), b"", "404 NOT_FOUND"),
    "two slashes": ((b"GET", b"/" + CONNECTIONS + b"/" + UPPER), b"", "404 NOT_FOUND"),
    # The server software drops it, as the client should have.
    "a fragment": ((b"GET", CONNECTIONS + b"/" + UPPER + b"#x"), b"", "404 NOT_FOUND"),
    "a target with scheme and host": (
        (b"GET", b"http://127.0.0.1" + CONNECTIONS + b"/" + UPPER),
        b"",
        "404 NOT_FOUND",
    ),
    "OPTIONS of all": ((b"OPTIONS", b"*"), b"", "404 NOT_FOUND"),
    "OPTIONS": ((b"OPTIONS", CONNECTIONS), b"", "404 NOT_FOUND"),
    "TRACE": ((b"TRACE", CONNECTIONS), b"", "404 NOT_FOUND"),
    "a method that nobody knows": ((b"BREW", CONNECTIONS), b"", "404 NOT_FOUND"),
}
"""Requests that reach the app, with their body and the response in short."""

REFUSED_BEFORE: dict[str, bytes] = {
    "a bare carriage return in a key": b"Idempotency-Key: one\rInjected: two",
    "a key that goes on in a new line": b"Idempotency-Key: one\r\n two",
    "a null in a key": b"Idempotency-Key: one\0two",
    "a second length": b"Content-Length: 3",
    "a space before the colon": b"Idempotency-Key : one",
}
"""Headers that the server software refuses before any app sees the request."""

BROKEN_BODIES = (b"", b"{", b"zz\r\n{", b"2\r\n{}XX\r\n0\r\n\r\n", b"2\r\n{}\r\n", b"-1\r\n{}\r\n")
"""Bodies that end too early by their declared length; as chunks they are malformed or end too early."""
