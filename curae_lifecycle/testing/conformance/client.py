"""An app that calls the server, and how its answers are read.

The law of this module: **an answer is read with suspicion**. Whatever stands in it, reading gives
a value or says what was expected there, and never fails in another way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, cast
from urllib.parse import quote

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.operations.operation import BASE_PATH
from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.server import WRITING, ApiKeyRequest
from curae_lifecycle.testing.conformance.steps import (
    NEVER_COMPARED,
    CheckContext,
    Names,
    NotConformingError,
    NotSeenError,
    Steps,
    make_key,
    send,
    use,
)
from curae_lifecycle.web.request import Request

PACKAGES: Final = ("clinical_summary", "labs")
Document = Mapping[str, object]

INITIATES_PER_MINUTE: Final = 10
"""How many initiates of one user are admitted in a minute."""

OK: Final = 200
CREATED: Final = 201
NOT_MODIFIED: Final = 304
BAD_REQUEST: Final = 400


@attrs.frozen
class App:
    """An SDK app with its API key.

    A method named after an operation builds a request; one that says what was done sends it too,
    and expects that it succeeds.
    """

    api_key: str = attrs.field(repr=False)
    key_request: ApiKeyRequest
    context: CheckContext = attrs.field(repr=False)

    @property
    def names(self) -> Names:
        """Fresh names."""
        return self.context.names

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *headers: tuple[str, str],
        key: str | None = None,
    ) -> Request:
        """A request of this app; a body that is bytes goes as it is."""
        sent = [("Authorization", f"Bearer {self.api_key}")]
        if key is not None:
            sent.append(("Idempotency-Key", key))
        raw = b""
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.append(("Content-Type", "application/json"))
        return Request(method=method, target=BASE_PATH + path, headers=(*sent, *headers), body=raw)

    def new_key(self) -> str:
        """A fresh idempotency key."""
        return self.names.word("key")

    def create(
        self, user: str, packages: Iterable[str] = PACKAGES, *, key: str | None = None
    ) -> Request:
        """Create a connection."""
        body = {"appUserId": user, "dataPackages": list(packages)}
        return self.request("POST", "/connections", body, key=key or self.new_key())

    def get(self, connection_id: str) -> Request:
        """Get a connection."""
        return self.request("GET", f"/connections/{connection_id}")

    def reconnect(self, connection_id: str, *, key: str | None = None) -> Request:
        """Recover a connection."""
        path = f"/connections/{connection_id}:reconnect"
        return self.request("POST", path, key=key or self.new_key())

    def revoke(self, connection_id: str, *, key: str | None = None) -> Request:
        """Revoke a connection."""
        path = f"/connections/{connection_id}:revoke"
        return self.request("POST", path, key=key or self.new_key())

    def initiate(
        self, user: str, *, prefer_signup: bool | None = None, key: str | None = None
    ) -> Request:
        """Initiate a session; `None` leaves the preference out."""
        body: dict[str, object] = {"appUserId": user}
        if prefer_signup is not None:
            body["preferSignup"] = prefer_signup
        return self.request("POST", "/curae-connect/initiate", body, key=key or self.new_key())

    def account_state(self, user: str, *headers: tuple[str, str]) -> Request:
        """Ask for the account state of a user."""
        query = f"appUserId={quote(user, safe='')}"
        return self.request("GET", f"/curae-connect/account-state?{query}", None, *headers)

    def graduate(self, user: str, *headers: tuple[str, str]) -> Request:
        """Start a graduation hand-off."""
        body = {"appUserId": user}
        return self.request("POST", "/curae-connect/graduation-handoff", body, *headers)

    def coordinate(self, user: str) -> values.Coordinate:
        """The coordinate of a user of this app."""
        wanted = self.key_request
        return values.Coordinate(
            environment=wanted.environment,
            app_id=values.AppId(wanted.app_id),
            customer_account_id=values.CustomerAccountId(wanted.customer_account_id),
            app_user_id=values.AppUserId(user),
        )

    def in_test(self) -> Steps[App]:
        """The same app in the test environment, which a server of one environment does not have."""
        if "environment" in self.context.hooks:
            raise NotSeenError("the server serves one environment")
        wanted = attrs.evolve(self.key_request, environment=values.Environment.TEST)
        return App((yield from make_key(wanted)), wanted, self.context)

    def second_key(self, scopes: frozenset[str] = WRITING) -> Steps[App]:
        """The same app with another API key."""
        wanted = attrs.evolve(self.key_request, scopes=scopes)
        return App((yield from make_key(wanted)), wanted, self.context)

    def created(self, user: str | None = None) -> Steps[Document]:
        """Create a connection; its wire form comes back."""
        request = self.create(user or self.names.word("user"))
        return (yield from _connection(request, CREATED))

    def seen(self, connection_id: str) -> Steps[Document]:
        """Read a connection; its wire form comes back."""
        return (yield from _connection(self.get(connection_id), OK))

    def all_seen(self, ids: Iterable[str]) -> Steps[list[Document]]:
        """Read several connections; their wire forms come back, in their order."""
        seen: list[Document] = []
        for each in ids:
            seen += [(yield from self.seen(each))]
        return seen

    def shows(self, connection_id: str, status: str) -> Steps[None]:
        """Read a connection and raise unless it has a status."""
        seen = yield from self.seen(connection_id)
        same(status_of(seen), status, f"the status of {connection_id}")

    def revoked(self, connection_id: str) -> Steps[Document]:
        """Revoke a connection; the whole answer comes back."""
        return (yield from success(self.revoke(connection_id), OK))

    def reconnected(self, connection_id: str) -> Steps[Document]:
        """Recover a connection; the whole answer comes back."""
        return (yield from success(self.reconnect(connection_id), CREATED))

    def initiated(self, user: str, *, prefer_signup: bool | None = None) -> Steps[Document]:
        """Initiate a session; the whole answer comes back."""
        request = self.initiate(user, prefer_signup=prefer_signup)
        return (yield from success(request, CREATED))

    def filled(self, user: str, count: int = INITIATES_PER_MINUTE) -> Steps[None]:
        """Use up so many of the initiates that a minute admits."""
        for _ in range(count):
            yield from self.initiated(user)

    def state(self, user: str) -> Steps[str]:
        """The account state of a user."""
        answer = yield from success(self.account_state(user), OK)
        return text(answer, "lifecycleState")


def new_app(
    kit: CheckContext,
    *,
    account: str | None = None,
    app_id: str | None = None,
    scopes: frozenset[str] = WRITING,
    environment: values.Environment | None = None,
) -> Steps[App]:
    """An app with a key of its own; what is not given is fresh."""
    wanted = ApiKeyRequest(
        app_id=app_id or kit.names.word("app"),
        customer_account_id=account or kit.names.uuid(),
        environment=environment or kit.environment,
        scopes=scopes,
    )
    return App((yield from make_key(wanted)), wanted, kit)


# --- Reading answers ------------------------------------------------------------------------


def parsed(response: Response) -> object:
    """The body of an answer; `None` where it is no JSON."""
    try:
        return cast("object", json.loads(response.body))
    except (ValueError, RecursionError):
        return None


def document(response: Response) -> Document:
    """The body of an answer."""
    value = parsed(response)
    if not isinstance(value, dict):
        raise NotConformingError(f"answered {response.status} with no JSON object")
    return cast("dict[str, object]", value)


def in_short(response: Response) -> str:
    """An answer in short: its status and, of a problem, its code."""
    value = parsed(response)
    code = cast("dict[str, object]", value).get("code") if isinstance(value, dict) else None
    return f"{response.status} {code}" if isinstance(code, str) else str(response.status)


def expect(response: Response, status: int) -> Document:
    """The body of a success."""
    if response.status != status:
        raise NotConformingError(f"answered {in_short(response)} instead of {status}")
    return document(response)


def expect_problem(response: Response, status: int, code: str) -> Document:
    """The details of a problem."""
    if in_short(response) != f"{status} {code}":
        raise NotConformingError(f"answered {in_short(response)} instead of {status} {code}")
    details = document(response).get("details")
    if not isinstance(details, dict):
        raise NotConformingError(f"{code} has no object of details")
    return cast("dict[str, object]", details)


def answered(request: Request, status: int) -> Steps[Response]:
    """Send a request that must succeed; the whole answer comes back."""
    answer = yield from send(request)
    expect(answer, status)
    return answer


def success(request: Request, status: int) -> Steps[Document]:
    """Send a request that must succeed; the body of its answer comes back."""
    return expect((yield from send(request)), status)


def made(request: Request) -> Steps[str]:
    """Send a request that must make a connection; its id comes back."""
    return text((yield from success(request, CREATED)), "connection.id")


def refusal(request: Request, status: int, code: str) -> Steps[Document]:
    """Send a request that must be refused; the details of the problem come back."""
    return expect_problem((yield from send(request)), status, code)


def _connection(request: Request, status: int) -> Steps[Document]:
    answer = yield from success(request, status)
    return as_document(member(answer, "connection"))


def member(holder: Document, path: str) -> object:
    """A member by its path, such as `connection.id`."""
    *outer, last = path.split(".")
    for name in outer:
        inner = holder.get(name)
        holder = cast("dict[str, object]", inner) if isinstance(inner, dict) else {}
    if last not in holder:
        raise NotConformingError(f"the member {path} is missing")
    return holder[last]


def text(holder: Document, path: str) -> str:
    """A member that is a string."""
    value = member(holder, path)
    if not isinstance(value, str):
        raise NotConformingError(f"{path} is no string")
    return value


def instant(holder: Document, path: str) -> datetime:
    """A member that is a time."""
    return as_instant(member(holder, path), path)


def as_instant(value: object, name: str) -> datetime:
    """A value that must be a time."""
    try:
        return values.parse_time(name, value)
    except ArgumentError:
        raise NotConformingError(
            f"{name} is no RFC 3339 time ending in Z with at most six fraction digits"
        ) from None


def same(seen: object, expected: object, what: str) -> None:
    """Raise unless a value is the expected one."""
    if seen != expected:
        raise NotConformingError(f"{what} is {seen!r} instead of {expected!r}")


def require(holds: bool, what: str) -> None:  # noqa: FBT001 - what is required
    """Raise unless something holds; `what` says what was seen instead."""
    if not holds:
        raise NotConformingError(what)


def headers(response: Response, name: str) -> list[str]:
    """Every value of a header, in order; `name` in lower case."""
    return [value for key, value in response.headers if key.lower() == name]


def lasting(response: Response, varying: frozenset[str]) -> Response:
    """An answer without what a server's front may set anew each time."""
    left_out = NEVER_COMPARED | varying
    kept = [(name.lower(), value) for name, value in response.headers]
    return Response(
        response.status, tuple([pair for pair in kept if pair[0] not in left_out]), response.body
    )


def status_of(connection: Document) -> str:
    """The status of a connection; ACTIVE in either of its spellings."""
    status = text(connection, "status")
    return "ACTIVE" if status == "AUTHORIZED" else status


def as_document(value: object) -> Document:
    """A value that must be an object."""
    if not isinstance(value, dict):
        raise NotConformingError("it is no object")
    return cast("dict[str, object]", value)


def id_of(connection: Document) -> str:
    """The id of a connection's wire form."""
    return text(connection, "id")


def expect_said(said: str | None, expected: str) -> None:
    """Raise where a hook says that the server made something else of a fact."""
    if said is not None and said != expected:
        raise NotConformingError(f"the server answered {said} instead of {expected}")


def happens(hook: str, *arguments: object, said: str = "done") -> Steps[None]:
    """Call a hook and raise where it says that the server made something else of the fact."""
    expect_said((yield from use(hook, *arguments)), said)


def lifetime(answer: Document) -> timedelta:
    """How long the next action of an answer lives, by the server's own times."""
    made = "session.createdAt" if "session" in answer else "connection.updatedAt"
    return instant(answer, "nextAction.expiresAt") - instant(answer, made)
