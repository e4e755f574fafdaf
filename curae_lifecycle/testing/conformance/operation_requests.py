"""Requests for any operation, built from the class of the operation.

The law of this module: **no operation is named here**. Checks select operations by their rules, so
that a server's additional operations are checked like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations.operation import BASE_PATH, KeyUse, Operation, OperationRule
from curae_lifecycle.testing.conformance.client import PACKAGES, App, in_short, member
from curae_lifecycle.testing.conformance.steps import NotSeenError, Steps, send
from curae_lifecycle.testing.factories import query_text
from curae_lifecycle.web.request import Request

Kind = type[Operation]

_RETRYABLE: Final = "409 IDEMPOTENCY_KEY_IN_FLIGHT"

# Values to try for a member that the kit does not know.
_SAMPLE_VALUES: Final[tuple[object, ...]] = ("word", True, 1, ["word"], "2026-01-05T09:00:00Z")


def operations_where(app: App, has: Callable[[OperationRule], object]) -> list[Kind]:
    """Return the classes of the served operations whose rule meets a condition.

    The rule of an operation holds its path, its members, its scope and its use of a key.

    Args:
        app: The app of the check. Its context holds the classes of the served operations.
        has: The condition: gets a rule and returns a true value if the operation is to be selected.
    """
    return [kind for kind in app.context.operations if has(kind.rule)]


def has_connection_id(rule: OperationRule) -> bool:
    """Return whether the path of an operation with this rule has the id of a connection."""
    return any(each.name == "connectionId" for each in rule.ids)


def needs_key(rule: OperationRule) -> bool:
    """Return whether an operation with this rule needs an idempotency key."""
    return rule.key is KeyUse.NEEDED


def short_name(kind: Kind) -> str:
    """Return the operation's name without `-connection`, such as `create`, for names of checks."""
    return kind.rule.name.removesuffix("-connection")


def member_values(connection_id: str, user: str = "user") -> dict[str, object]:
    """Return values for the members `connectionId`, `appUserId` and `dataPackages`, by these names.

    `build_request`, `body_of` and `value_of` take them, and choose values for other members.

    Args:
        connection_id: The connection's id.
        user: The app's own id of its user.
    """
    return {"connectionId": connection_id, "appUserId": user, "dataPackages": [*PACKAGES]}


def build_request(
    app: App,
    kind: Kind,
    values: Mapping[str, object],
    *headers: tuple[str, str],
    body: object = None,
    key: str | None = None,
) -> Request:
    """Build a request for an operation; nothing is sent.

    Args:
        app: The SDK app whose API key the request carries.
        kind: The class of the operation.
        values: The values of members, by name, such as those of `member_values`. If an id, a
            required query parameter or a required body member is missing here, `value_of` chooses
            its value. `connectionId` must always be here, since `value_of` tries it for other
            members, too. Optional members are not sent.
        headers: Additional headers, each as a pair of name and value.
        body: The body to send; bytes are sent unchanged. `None` builds the body from `values`.
        key: The idempotency key; by default a fresh one if the operation needs a key.

    Raises:
        NotSeenError: The kit does not know which value to send for a member.
    """
    rule = kind.rule
    path = rule.path.removeprefix(BASE_PATH)
    for each in rule.ids:
        path = path.replace(f"{{{each.name}}}", quote(str(value_of(each, values))))
    queried = {
        each.name: value_of(each, values, in_query=True) for each in rule.query if not each.optional
    }
    if queried:
        path += "?" + urlencode(queried)
    if body is None and rule.body:
        body = body_of(kind, values)
    if key is None and needs_key(rule):
        key = app.new_key()
    return app.request(rule.method, path, body, *headers, key=key)


def body_of(kind: Kind, values: Mapping[str, object]) -> dict[str, object]:
    """Build a valid body for an operation, with each required member; `{}` if none is required.

    Args:
        kind: The class of the operation.
        values: The values of members, by name, such as those of `member_values`. If a required
            member is missing here, `value_of` chooses its value. `connectionId` must always be
            here, since `value_of` tries it for other members, too.

    Raises:
        NotSeenError: The kit does not know which value to send for a member.
    """
    needed = [each for each in kind.rule.body or () if not each.optional]
    return {each.name: value_of(each, values) for each in needed}


def value_of(
    wanted: Member[object], values: Mapping[str, object], *, in_query: bool = False
) -> object:
    """Choose a value to send for a member of a request.

    A known value is taken first, then the example of the member. Without an example, the first
    sample value that the member's parser accepts is taken. The samples are the kit's own, such as
    `word` and `True`, and the known `connectionId`.

    Args:
        wanted: The member.
        values: The known values, by member name. `connectionId` must be among them.
        in_query: Whether the member belongs to a query. If so, its example or sample is converted
            to text; a known value is not.

    Raises:
        NotSeenError: The member's parser refuses the example or, without one, all sample values.
    """
    if wanted.name in values:
        return values[wanted.name]
    samples = (*_SAMPLE_VALUES, values["connectionId"])
    for value in samples if wanted.example is None else (wanted.example,):
        sent = query_text(value) if in_query else value
        if takes(wanted, sent):
            return sent
    raise NotSeenError(f"the kit knows no value of the member {wanted.name}")


def takes(wanted: Member[object], value: object) -> bool:
    """Return whether the parser of a member accepts a value."""
    try:
        wanted.parse(value)
    except ArgumentError:
        return False
    return True


def build_successful_request(app: App, kind: Kind, body: object = None) -> Steps[Request]:
    """Build a request that must succeed, about a new connection and a new app user.

    First a trial request is sent, about a pending connection and an UNLINKED user. If it gets a
    409, as the reconnect of a pending connection does, the returned request is about a revoked
    connection and a LIMITED user. After any other response, or a 409 `IDEMPOTENCY_KEY_IN_FLIGHT`,
    it is about another pending connection and UNLINKED user. For an operation that takes a session
    id, the user is LIMITED in both requests.

    Args:
        app: The app that sends the trial request and whose API key the returned one carries.
        kind: The class of the operation.
        body: A body that names no connection or user, such as `{}`. `None` builds the body for the
            new connection and user.

    Raises:
        NotSeenError: The kit does not know which value to send for a member.
    """
    first = yield from send(build_request(app, kind, (yield from _new_subject(app, kind))))
    refused = in_short(first).startswith("409") and in_short(first) != _RETRYABLE
    values = yield from _new_subject(app, kind, refused=refused)
    return build_request(app, kind, values, body=body)


def _new_subject(app: App, kind: Kind, *, refused: bool = False) -> Steps[dict[str, object]]:
    rule, user = kind.rule, app.names.word("user")
    values = member_values(app.names.uuid(), user)
    needed = {each.name for each in rule.members}
    if refused or "sessionId" in needed:
        session = yield from app.initiated(user)
        values["sessionId"] = member(session, "session.id")
    if "connectionId" in needed:
        connection_id = values["connectionId"] = yield from app.created_id(user)
        if refused:
            yield from app.revoked(connection_id)
    return values
