"""Responses as they are sent and kept: status, headers, bytes.

The law of this module: **a kept response is the one that was sent**, except for headers that belong
to one transmission or one client, which are never kept [O].
"""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import StoredResponse
from curae_lifecycle.service.status import is_kept

Headers = tuple[tuple[str, str], ...]
"""Headers: pairs of a name in lower case and a value, in order, repetitions included."""


@attrs.frozen
class Response(StoredResponse):
    """An HTTP response, sent now and perhaps stored for retries.

    No repr shows the body, which can hold the URL of a hosted page.

    Attributes:
        status: The HTTP status.
        headers: Names and values, in order.
        body: The exact bytes.
    """

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)

    def to_storable(self) -> Response:
        """Return the response to store: without `Date`, `Set-Cookie` and hop-by-hop headers.

        Raises:
            ArgumentError: The status is not a 2xx, 404 or 409, so the response is never stored.
        """
        _check_kept(self.status)
        headers = kept_headers(self.headers)
        if headers is self.headers:
            return self
        return Response(self.status, headers, self.body)


@attrs.frozen
class ResponseReference(StoredResponse):
    """A reference to a response that the server stores elsewhere, for instance encrypted.

    Attributes:
        status: The HTTP status of the response.
        reference: The server's own name for the stored response.
    """

    status: int
    reference: str

    def to_storable(self) -> ResponseReference:
        """Return the reference itself, after a check of its status.

        Raises:
            ArgumentError: The status is not a 2xx, 404 or 409, so the response is never stored.
        """
        _check_kept(self.status)
        return self


def status_of_stored(response: StoredResponse) -> int:
    """Return the HTTP status of a stored response.

    Raises:
        ArgumentError: `response` is neither a `Response` nor a `ResponseReference`.
    """
    if isinstance(response, (Response, ResponseReference)):
        return response.status
    raise ArgumentError("response", "a Response or a ResponseReference")


def _check_kept(status: int) -> None:
    if not is_kept(status):
        raise ArgumentError("response", "a 2xx, 404 or 409; release the attempt instead")


_OF_ONE_ANSWER: Final = {"date", "set-cookie"}
_OF_ONE_HOP: Final = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
_OF_A_PROXY: Final = {"proxy-connection", "proxy-authenticate", "proxy-authorization"}
_NEVER_KEPT: Final = frozenset(_OF_ONE_ANSWER | _OF_ONE_HOP | _OF_A_PROXY)


def kept_headers(headers: Headers) -> Headers:
    """Return the headers to store: all but `Date`, `Set-Cookie` and hop-by-hop headers [O]."""
    for name, _ in headers:
        if name.lower() in _NEVER_KEPT:
            return _without(headers)
    return headers


def _without(headers: Headers) -> Headers:
    named = [value for name, value in headers if name.lower() == "connection"]
    dropped = {name.strip().lower() for value in named for name in value.split(",")} | _NEVER_KEPT
    return tuple((name, value) for name, value in headers if name.lower() not in dropped)
