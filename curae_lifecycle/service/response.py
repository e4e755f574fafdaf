"""An answer as it is sent and kept: status, headers, bytes.

The law of this module: **what is kept is what was sent**, but for the headers that belong to one
transmission or one client and are never kept [O].
"""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.idempotency import StoredResponse
from curae_lifecycle.service.status import is_kept

Headers = tuple[tuple[str, str], ...]
"""Names in lower case and values, in order, repetitions included."""


@attrs.frozen
class Response(StoredResponse):
    """An HTTP response: what is answered, and what is kept to be answered again.

    Its bytes are exact; they can hold a hand-off URL, so no repr shows them.

    Attributes:
        status: The HTTP status.
        headers: Names and values, in order.
        body: The exact bytes.
    """

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)

    def to_storable(self) -> Response:
        """The response without the headers that are never kept."""
        _check_kept(self.status)
        headers = kept_headers(self.headers)
        if headers is self.headers:
            return self
        return Response(self.status, headers, self.body)


@attrs.frozen
class ResponseReference(StoredResponse):
    """Where the server keeps a response, encrypted, instead of the record: its name of the place.

    Attributes:
        status: The HTTP status of the response.
        reference: The server's name of the place.
    """

    status: int
    reference: str

    def to_storable(self) -> ResponseReference:
        """The very same reference."""
        _check_kept(self.status)
        return self


def status_of_stored(response: StoredResponse) -> int:
    """The HTTP status of a response that was kept, which must be of this package's kinds.

    Raises:
        ArgumentError: It is a stored response of another kind.
    """
    if isinstance(response, _OWN_KINDS):
        return response.status
    raise ArgumentError("response", "a Response or a ResponseReference")


# A union would be made anew each time that it is asked.
_OWN_KINDS: Final = (Response, ResponseReference)


def _check_kept(status: int) -> None:
    if not is_kept(status):
        raise ArgumentError("response", "a 2xx, 404 or 409; release the attempt instead")


_OF_ONE_ANSWER: Final = {"date", "set-cookie"}
_OF_ONE_HOP: Final = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
_OF_A_PROXY: Final = {"proxy-connection", "proxy-authenticate", "proxy-authorization"}
_NEVER_KEPT: Final = frozenset(_OF_ONE_ANSWER | _OF_ONE_HOP | _OF_A_PROXY)


def kept_headers(headers: Headers) -> Headers:
    """The headers that a record may keep: not `Date`, `Set-Cookie` or hop-by-hop ones [O]."""
    for name, _ in headers:
        if name.lower() in _NEVER_KEPT:
            return _without(headers)
    return headers


def _without(headers: Headers) -> Headers:
    named = [value for name, value in headers if name.lower() == "connection"]
    dropped = {name.strip().lower() for value in named for name in value.split(",")} | _NEVER_KEPT
    return tuple((name, value) for name, value in headers if name.lower() not in dropped)
