"""An SDK app that calls the server, and functions that read the responses.

The law of this module: **no response is trusted**. Whatever a response holds, reading it returns a
value or raises `NotConformingError`, which says what was expected. It never fails in another way.
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
from curae_lifecycle.testing.conformance.server import ApiKeyRequest
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
from curae_lifecycle.testing.conformance.wording import format_value, status_and_code
from curae_lifecycle.testing.laws.wire import read_json
from curae_lifecycle.web.request import Request

PACKAGES: Final = ("clinical_summary", "labs")
"""The data packages that the checks ask for."""

Document = Mapping[str, object]
"""A JSON object."""

INITIATES_PER_MINUTE: Final = 10
"""The number of initiates of one app user that a server admits in any 60 seconds."""

OK: Final = 200
CREATED: Final = 201
NOT_MODIFIED: Final = 304
BAD_REQUEST: Final = 400


@attrs.frozen
class App:
    """An SDK app with an API key.

    A method named after an operation, such as `create`, builds a request and sends nothing. A
    method in the past tense, such as `created`, also sends the request. It raises
    `NotConformingError` unless the response is a success. Methods that return `Steps` are
    generators, which a check runs with `yield from`.

    Attributes:
        api_key: The text of the API key.
        key_request: The app, account, environment and scopes that the key stands for.
        context: The values that the check got from its runner.
    """

    api_key: str = attrs.field(repr=False)
    key_request: ApiKeyRequest
    context: CheckContext = attrs.field(repr=False)

    @property
    def names(self) -> Names:
        """The source of fresh ids of apps and users, and of fresh idempotency keys."""
        return self.context.names

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *headers: tuple[str, str],
        key: str | None = None,
    ) -> Request:
        """Build a request with the API key of this app.

        Args:
            method: The HTTP method.
            path: The path and query, without `BASE_PATH`, the beginning that all paths share.
            body: Bytes, which are sent as they are, or a value to send as JSON. With None the
                request has no body.
            *headers: More headers, each as a pair of name and value.
            key: The idempotency key, or None to send none.
        """
        own_headers = [("Authorization", f"Bearer {self.api_key}")]
        if key is not None:
            own_headers.append(("Idempotency-Key", key))
        raw = b""
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            own_headers.append(("Content-Type", "application/json"))
        return Request(
            method=method,
            target=BASE_PATH + path,
            headers=(*own_headers, *headers),
            body=raw,
        )

    def new_key(self) -> str:
        """Return a fresh idempotency key."""
        return self.names.word("key")

    def create(
        self, user: str, packages: Iterable[str] = PACKAGES, *, key: str | None = None
    ) -> Request:
        """Build a request to create a connection of `user` with these data `packages`.

        The idempotency `key` is fresh by default.
        """
        body = {"appUserId": user, "dataPackages": list(packages)}
        return self.request("POST", "/connections", body, key=key or self.new_key())

    def get(self, connection_id: str) -> Request:
        """Build a request that reads a connection."""
        return self.request("GET", f"/connections/{connection_id}")

    def reconnect(self, connection_id: str, *, key: str | None = None) -> Request:
        """Build a request to reconnect a connection; the idempotency `key` is fresh by default."""
        path = f"/connections/{connection_id}:reconnect"
        return self.request("POST", path, key=key or self.new_key())

    def revoke(self, connection_id: str, *, key: str | None = None) -> Request:
        """Build a request to revoke a connection; the idempotency `key` is fresh by default."""
        path = f"/connections/{connection_id}:revoke"
        return self.request("POST", path, key=key or self.new_key())

    def initiate(
        self, user: str, *, prefer_signup: bool | None = None, key: str | None = None
    ) -> Request:
        """Build a request that initiates a session; the idempotency `key` is fresh by default.

        If `prefer_signup` is None, the body has no `preferSignup`.
        """
        body: dict[str, object] = {"appUserId": user}
        if prefer_signup is not None:
            body["preferSignup"] = prefer_signup
        return self.request("POST", "/curae-connect/initiate", body, key=key or self.new_key())

    def account_state(self, user: str, *headers: tuple[str, str]) -> Request:
        """Build a request that reads the account state of an app user, with extra `headers`."""
        query = f"appUserId={quote(user, safe='')}"
        return self.request("GET", f"/curae-connect/account-state?{query}", None, *headers)

    def graduate(self, user: str, *headers: tuple[str, str]) -> Request:
        """Build a request that starts a user's graduation hand-off, with extra `headers`."""
        body = {"appUserId": user}
        return self.request("POST", "/curae-connect/graduation-handoff", body, *headers)

    def coordinate(self, user: str) -> values.Coordinate:
        """Return the coordinate of `user`: this user and the key's environment, app and account."""
        owner = self.key_request
        return values.Coordinate(
            environment=owner.environment,
            app_id=values.AppId(owner.app_id),
            customer_account_id=values.CustomerAccountId(owner.customer_account_id),
            app_user_id=values.AppUserId(user),
        )

    def in_test(self) -> Steps[App]:
        """Make an API key of this app for the test environment, and return the app with that key.

        Raises:
            NotSeenError: The server serves one environment only.
        """
        if "environment" in self.context.hooks:
            raise NotSeenError("the server serves one environment")
        key_request = attrs.evolve(self.key_request, environment=values.Environment.TEST)
        return App((yield from make_key(key_request)), key_request, self.context)

    def second_key(self, scopes: frozenset[str] | None = None) -> Steps[App]:
        """Return this app with a new API key of these scopes; by default, of all scopes."""
        given = self.context.all_scopes if scopes is None else scopes
        key_request = attrs.evolve(self.key_request, scopes=given)
        return App((yield from make_key(key_request)), key_request, self.context)

    def created(self, user: str | None = None) -> Steps[Document]:
        """Create a connection, raise unless that succeeds, and return its JSON object.

        The app user is a fresh one by default.
        """
        request = self.create(user or self.names.word("user"))
        return (yield from _connection(request, CREATED))

    def created_id(self, user: str | None = None) -> Steps[str]:
        """Create a connection, by default of a fresh user, or raise; `yield from` gets its id."""
        return id_of((yield from self.created(user)))

    def seen(self, connection_id: str) -> Steps[Document]:
        """Read a connection, raise unless that succeeds, and return its JSON object."""
        return (yield from _connection(self.get(connection_id), OK))

    def all_seen(self, ids: Iterable[str]) -> Steps[list[Document]]:
        """Read several connections and return their JSON objects in the order of `ids`.

        Raises if one of the requests does not succeed.
        """
        seen: list[Document] = []
        for each in ids:
            seen += [(yield from self.seen(each))]
        return seen

    def shows(self, connection_id: str, status: str) -> Steps[None]:
        """Read a connection and raise unless it has this `status`; AUTHORIZED counts as ACTIVE."""
        seen = yield from self.seen(connection_id)
        same(status_of(seen), status, f"the status of {connection_id}")

    def revoked(self, connection_id: str) -> Steps[Document]:
        """Revoke a connection, raise unless that succeeds, and return the response's body."""
        return (yield from success(self.revoke(connection_id), OK))

    def reconnected(self, connection_id: str) -> Steps[Document]:
        """Reconnect a connection, raise unless that succeeds, and return the response's body."""
        return (yield from success(self.reconnect(connection_id), CREATED))

    def initiated(self, user: str, *, prefer_signup: bool | None = None) -> Steps[Document]:
        """Initiate a session, raise unless that succeeds, and return the response's body."""
        request = self.initiate(user, prefer_signup=prefer_signup)
        return (yield from success(request, CREATED))

    def use_up_initiates(self, user: str, count: int = INITIATES_PER_MINUTE) -> Steps[None]:
        """Initiate `count` sessions, by default all that a minute allows; raise if one fails."""
        for _ in range(count):
            yield from self.initiated(user)

    def state(self, user: str) -> Steps[str]:
        """Read a user's account state, raise unless that succeeds, and return the state's name."""
        answer = yield from success(self.account_state(user), OK)
        return text(answer, "lifecycleState")


def new_app(
    context: CheckContext,
    *,
    account: str | None = None,
    app_id: str | None = None,
    environment: values.Environment | None = None,
) -> Steps[App]:
    """Make an API key that may call every operation, and return an app with that key.

    Args:
        context: The values that the check got from its runner.
        account: The customer account's id; a fresh one by default.
        app_id: The app's id; a fresh one by default.
        environment: The environment of the key; by default that of `context`.
    """
    key_request = ApiKeyRequest(
        app_id=app_id or context.names.word("app"),
        customer_account_id=account or context.names.uuid(),
        environment=environment or context.environment,
        scopes=context.all_scopes,
    )
    return App((yield from make_key(key_request)), key_request, context)


# --- Reading responses ----------------------------------------------------------------------


def parsed(response: Response) -> object:
    """Return the parsed body of a response, or None if `read_json` finds that it is not JSON."""
    return read_json(response.body)[0]


def document(response: Response) -> Document:
    """Return the JSON object in the body of a response.

    Raises:
        NotConformingError: The body is not a JSON object.
    """
    value, fault = read_json(response.body)
    if not isinstance(value, dict):
        why = f": {fault}" if fault and response.body else ""
        raise NotConformingError(
            f"the server answered {response.status} with a body that is not a JSON object{why}"
        )
    return cast("dict[str, object]", value)


def in_short(response: Response) -> str:
    """Return the status of a response with its problem code, if any: `404 NOT_FOUND`, or `200`."""
    return status_and_code(response.status, parsed(response))


def expect(response: Response, status: int) -> Document:
    """Return the JSON object in the body of a response that must have the status `status`.

    Raises:
        NotConformingError: The response has another status, or its body is not a JSON object.
    """
    if response.status != status:
        raise NotConformingError(f"the server answered {in_short(response)} instead of {status}")
    return document(response)


def expect_problem(response: Response, status: int, code: str) -> Document:
    """Return the `details` of a response that must be the problem `code` with this status.

    Raises:
        NotConformingError: The response has another status or code, or its `details` are not a
            JSON object.
    """
    answered, expected = in_short(response), f"{status} {code}"
    if answered != expected:
        raise NotConformingError(f"the server answered {answered} instead of {expected}")
    details = document(response).get("details")
    if not isinstance(details, dict):
        raise NotConformingError(f"the details of {code} are not a JSON object")
    return cast("dict[str, object]", details)


def expect_answer(request: Request, status: int) -> Steps[Response]:
    """Send a request and return the response, which must have the status `status`.

    Raises:
        NotConformingError: The response has another status, or its body is not a JSON object.
    """
    answer = yield from send(request)
    expect(answer, status)
    return answer


def success(request: Request, status: int) -> Steps[Document]:
    """Send a request, raise unless the response has `status`, and return its JSON body."""
    return expect((yield from send(request)), status)


def created_id(request: Request) -> Steps[str]:
    """Send a request, raise unless it creates a connection, and return the connection's id."""
    return text((yield from success(request, CREATED)), "connection.id")


def refusal(request: Request, status: int, code: str) -> Steps[Document]:
    """Send a request, raise unless the problem is `code` with `status`; return its `details`."""
    return expect_problem((yield from send(request)), status, code)


def _connection(request: Request, status: int) -> Steps[Document]:
    answer = yield from success(request, status)
    return as_document(member(answer, "connection"))


def member(holder: Document, path: str) -> object:
    """Return the member at a path, such as `connection.id`.

    Args:
        holder: The JSON object to look in.
        path: The names of the members, outermost first, with dots between them.

    Raises:
        NotConformingError: There is no such member.
    """
    *outer, last = path.split(".")
    for name in outer:
        inner = holder.get(name)
        holder = cast("dict[str, object]", inner) if isinstance(inner, dict) else {}
    if last not in holder:
        raise NotConformingError(f"the member {path} is missing")
    return holder[last]


def text(holder: Document, path: str) -> str:
    """Return the string at a path of dotted member names in a JSON object, such as `connection.id`.

    Raises:
        NotConformingError: There is no such member, or it is not a string.
    """
    value = member(holder, path)
    if not isinstance(value, str):
        raise NotConformingError(f"{path} is not a string")
    return value


def instant(holder: Document, path: str) -> datetime:
    """Return the UTC time (RFC 3339) at a path in a JSON object, such as `session.createdAt`.

    Raises:
        NotConformingError: There is no such member, or it is not such a time.
    """
    return as_instant(member(holder, path), path)


def as_instant(value: object, name: str) -> datetime:
    """Return the instant of a JSON value that must be an RFC 3339 time ending in Z.

    Raises:
        NotConformingError: The value is not such a time. The message calls the value `name`.
    """
    try:
        return values.parse_time(name, value)
    except ArgumentError:
        raise NotConformingError(
            f"{name} is not an RFC 3339 time that ends in Z and has at most six fraction digits"
        ) from None


def same(seen: object, expected: object, what: str) -> None:
    """Raise `NotConformingError` unless a value is the expected one.

    Args:
        seen: The value that the server showed.
        expected: The expected value.
        what: The name of the value in the error message.
    """
    if seen != expected:
        was, wanted = format_value(seen), format_value(expected)
        raise NotConformingError(f"{what} is {was} instead of {wanted}")


def require(holds: bool, what: str) -> None:  # noqa: FBT001 - what is required
    """Raise `NotConformingError` unless a condition holds.

    Args:
        holds: The condition.
        what: The error message: what the server did instead.
    """
    if not holds:
        raise NotConformingError(what)


def headers(response: Response, name: str) -> list[str]:
    """Return the values of all headers with this name, in order; `name` is in lower case."""
    return [value for key, value in response.headers if key.lower() == name]


def lasting(response: Response, varying: frozenset[str]) -> Response:
    """Return a copy of a response without headers that vary, to compare with another response.

    The names of the other headers are put into lower case.

    Args:
        response: The response.
        varying: The names of more headers to leave out, in lower case. Those in `NEVER_COMPARED`,
            such as `date`, are always left out.
    """
    pairs = [(name.lower(), value) for name, value in response.headers]
    kept = tuple([pair for pair in pairs if pair[0] not in NEVER_COMPARED | varying])
    return Response(response.status, kept, response.body)


def status_of(connection: Document) -> str:
    """Return a connection's status (AUTHORIZED as ACTIVE), or raise if the status is no string."""
    status = text(connection, "status")
    return "ACTIVE" if status == "AUTHORIZED" else status


def as_document(value: object) -> Document:
    """Return `value` itself, which must be a JSON object.

    Raises:
        NotConformingError: `value` is something else.
    """
    if not isinstance(value, dict):
        raise NotConformingError(f"the response holds {format_value(value)}, not a JSON object")
    return cast("dict[str, object]", value)


def id_of(connection: Document) -> str:
    """Return the id in a connection's JSON object, or raise if the `id` is no string."""
    return text(connection, "id")


def expect_outcome(outcome: str | None, expected: str) -> None:
    """Raise if a hook (a function of the server) reported another outcome than the expected one.

    Args:
        outcome: The outcome of the fact, as reported; `None`, for no report, is always accepted.
        expected: The expected outcome: `done`, `ignored` or a problem code.

    Raises:
        NotConformingError: The hook reported another outcome.
    """
    if outcome is not None and outcome != expected:
        raise NotConformingError(f"the hook returned {outcome} instead of {expected}")


def record_by_hook(hook: str, *arguments: object, expected: str = "done") -> Steps[None]:
    """Call a hook that records a fact, and raise if it reports another outcome than `expected`.

    The hook, a function of the server, gets `arguments`. A report of no outcome (None) passes.
    """
    expect_outcome((yield from use(hook, *arguments)), expected)


def lifetime(answer: Document) -> timedelta:
    """Return how long the next action in a response's body is valid.

    The start is the session's `createdAt` or, without a session, the connection's `updatedAt`.
    """
    start = "session.createdAt" if "session" in answer else "connection.updatedAt"
    return instant(answer, "nextAction.expiresAt") - instant(answer, start)
