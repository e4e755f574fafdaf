"""Requests from ASGI scopes and WSGI environments, undecoded and unjoined."""

from __future__ import annotations

import pytest

from curae_lifecycle import ArgumentError, Request, Response
from curae_lifecycle.stores.run_sync import run_sync
from curae_lifecycle.web.asgi_wsgi import asgi_body, asgi_headers, asgi_request, wsgi_request
from curae_lifecycle.web.request import (
    BODY_MAX,
    bearer,
    header_values,
    parse_idempotency_key_header,
)

SCOPE: dict[str, object] = {
    "type": "http",
    "method": "post",
    "path": "/a/b c",
    "raw_path": b"/a%2fb%20c",
    "query_string": b"",
    "headers": [(b"accept", b"a"), (b"x-name", b"\xe9"), (b"accept", b"b")],
}
ENVIRON: dict[str, object] = {
    "REQUEST_METHOD": "POST",
    "PATH_INFO": "/a/b c",
    "QUERY_STRING": "q=%20",
    "REQUEST_URI": "/a%2fb%20c?q=%20",
    "CONTENT_TYPE": "text/plain",
    "HTTP_IDEMPOTENCY_KEY": "k-1",
    "HTTP_AUTHORIZATION": "Bearer cae_live_k1",
    "wsgi.url_scheme": "http",
}


def test_asgi_path_query_and_headers_are_passed_on_undecoded() -> None:
    headers = (("accept", "a"), ("x-name", "\xe9"), ("accept", "b"))
    assert asgi_request(SCOPE, b"{}") == Request(
        method="post", target="/a%2fb%20c", headers=headers, body=b"{}"
    )
    asked = asgi_request({**SCOPE, "query_string": b"a=%20&a"}, b"")
    assert asked.target == "/a%2fb%20c?a=%20&a"


def test_wsgi_path_query_and_headers_are_passed_on_undecoded() -> None:
    headers = (("IDEMPOTENCY-KEY", "k-1"), ("AUTHORIZATION", "Bearer cae_live_k1"))
    asked = Request(method="POST", target="/a%2fb%20c?q=%20", headers=headers, body=b"{}")
    assert wsgi_request(ENVIRON, b"{}") == asked
    gunicorn = {("RAW_URI" if name == "REQUEST_URI" else name): ENVIRON[name] for name in ENVIRON}
    assert wsgi_request(gunicorn, b"{}") == asked


def test_absolute_request_url_is_passed_on_as_path_and_query() -> None:
    # uvicorn with h11, hypercorn, gunicorn and waitress leave it as it is.
    scope = {**SCOPE, "raw_path": b"http://h.example/a%2fb", "query_string": b"q"}
    assert asgi_request(scope, b"").target == "/a%2fb?q"
    assert asgi_request({**scope, "raw_path": b"http://h.example"}, b"").target == "/?q"
    for name in ("REQUEST_URI", "RAW_URI"):
        environ = {"REQUEST_METHOD": "GET", name: "http://h.example/a%2fb?q"}
        assert wsgi_request(environ, b"").target == "/a%2fb?q"


@pytest.mark.parametrize("comma", [",", ", "])
def test_wsgi_idempotency_key_with_a_comma_counts_as_two_headers(comma: str) -> None:
    joined = {
        **ENVIRON,
        "HTTP_IDEMPOTENCY_KEY": f"one{comma}two",
        "HTTP_AUTHORIZATION": f"Bearer cae_live_k1{comma}Bearer cae_live_k2",
        "HTTP_IF_NONE_MATCH": f'"a"{comma}"b"',
    }
    asked = wsgi_request(joined, b"{}")
    assert len(header_values(asked, "idempotency-key")) == 2
    assert parse_idempotency_key_header(header_values(asked, "idempotency-key")) is None
    assert bearer(asked) is None
    # If-None-Match may be a list, so it is not split.
    assert header_values(asked, "if-none-match") == [f'"a"{comma}"b"']


def test_wsgi_request_reads_the_asgi_scope_if_environ_has_one() -> None:
    spelled = [(b"idempotency-key", b"a,b"), (b"idempotency-key", b"c")]
    asked = wsgi_request({**ENVIRON, "asgi.scope": {**SCOPE, "headers": spelled}}, b"{}")
    headers = (("idempotency-key", "a,b"), ("idempotency-key", "c"))
    assert asked == Request(method="post", target="/a%2fb%20c", headers=headers, body=b"{}")


def test_missing_raw_path_or_request_uri_raises() -> None:
    for missing in ({}, {"raw_path": None}):
        scope = {name: value for name, value in SCOPE.items() if name != "raw_path"} | missing
        with pytest.raises(ArgumentError, match=r"^scope: must be a scope with raw_path as bytes"):
            asgi_request(scope, b"")
    environ = {name: value for name, value in ENVIRON.items() if name != "REQUEST_URI"}
    with pytest.raises(ArgumentError, match=r"^environ: must be an environment with REQUEST_URI"):
        wsgi_request(environ, b"")


def test_asgi_headers_keep_order_and_repetitions() -> None:
    response = Response(200, (("link", "a"), ("etag", '"\xe9"'), ("link", "b")), b"")
    assert asgi_headers(response) == [(b"link", b"a"), (b"etag", b'"\xe9"'), (b"link", b"b")]


# --- ASGI bodies ----------------------------------------------------------------------------

Message = dict[str, object]


def part(body: bytes | None, *, more: bool) -> Message:
    left = {} if body is None else {"body": body}
    return {"type": "http.request", "more_body": more, **left}


GONE: Message = {"type": "http.disconnect"}


def read(*messages: Message) -> tuple[bytes | None, int]:
    """Return the body of these messages, and the number of messages not read."""
    left = list(messages)

    async def receive() -> Message:
        return left.pop(0)

    return run_sync(asgi_body(receive)), len(left)


def test_asgi_body_is_read_to_its_end_and_no_further() -> None:
    assert read({"type": "http.request"}, GONE) == (b"", 1)
    assert read(part(b"{}", more=False), GONE) == (b"{}", 1)
    assert read(part(b"{", more=True), part(None, more=True), part(b"}", more=False)) == (b"{}", 0)


def test_asgi_body_is_none_after_a_disconnect() -> None:
    assert read(GONE) == (None, 0)
    # The part is valid JSON and must not pass for the whole body.
    assert read(part(b"{}", more=True), GONE) == (None, 0)


def test_too_long_asgi_body_is_cut_one_byte_over_the_limit() -> None:
    half = part(b"x" * BODY_MAX, more=True)
    assert read(half, half, part(b"x", more=False)) == (b"x" * (BODY_MAX + 1), 0)
    assert read(half, part(b"", more=False)) == (b"x" * BODY_MAX, 0)
