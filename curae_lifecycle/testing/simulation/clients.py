"""The clients of a world: apps with their API keys, their users and their requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import attrs

from curae_lifecycle.rules import values
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.service.operations.operation import BASE_PATH
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys
from curae_lifecycle.testing.simulation.journal import Journal
from curae_lifecycle.testing.simulation.mishaps import Dice, Mishap
from curae_lifecycle.web.request import Request

_DAY: Final = timedelta(days=1)
PACKAGES: Final = tuple(map(values.DataPackage, ("labs", "medications", "clinical_summary")))
"""The data packages that requests may name."""

_OPERATION_WEIGHTS: Final = {
    "create": 15,
    "get": 14,
    "reconnect": 24,
    "revoke": 9,
    "initiate": 14,
    "account-state": 8,
    "graduation": 6,
}
"""The relative frequency of each operation among requests."""

_MALFORMED: Final = (
    ("POST", f"{BASE_PATH}/connections", b"{"),
    ("POST", f"{BASE_PATH}/connections", b'{"appUserId":"u","dataPackages":[]}'),
    ("POST", f"{BASE_PATH}/connections", b'{"appUserId":" u","dataPackages":["labs"]}'),
    ("POST", f"{BASE_PATH}/curae-connect/initiate", b'{"appUserId":"u","preferSignUp":true}'),
    ("POST", f"{BASE_PATH}/curae-connect/initiate", b'{"appUserId":"u","appUserId":"u"}'),
    ("POST", f"{BASE_PATH}/connections/none:revoke", b""),
    ("GET", f"{BASE_PATH}/curae-connect/account-state?appUserId=u&appUserId=u", b""),
    ("PUT", f"{BASE_PATH}/connections", b""),
    ("GET", f"{BASE_PATH}/nowhere", b""),
)
_MALFORMED_KEYS: Final[tuple[tuple[str, ...], ...]] = ((), ("",), ('"open',), ("one", "two"))


@attrs.frozen
class Client:
    """A simulated app, with its API keys.

    Attributes:
        caller: The caller of the first API key.
        keys: Four API keys, in this order: live with write access, live without, test with write
            access, test without.
    """

    caller: Caller
    keys: tuple[str, ...]


@attrs.define
class User:
    """A simulated app user of a customer account, who uses every app of that account.

    Attributes:
        name: The app user's id.
        gone_at: The instant at which the user stops using the apps.
        app_user: The user's id with the account and the live environment, by which the world's log
            keeps the user's entries.
        connections: By app id, the ids of the user's connections that the app knows, oldest first.
            Only the latest ids are kept.
    """

    name: values.AppUserId
    gone_at: datetime
    app_user: values.AppUser
    connections: dict[values.AppId, list[values.ConnectionId]] = attrs.field(
        factory=dict[values.AppId, list[values.ConnectionId]]
    )

    def ids_known_by(self, client: Client) -> list[values.ConnectionId]:
        """Return the ids of this user's connections that a client, an app, knows, oldest first.

        The list is the stored one, not a copy: changes to it are kept.
        """
        return self.connections.setdefault(client.caller.app_id, [])


@attrs.define
class ClientRequest:
    """A request of a client, a simulated app, which may send it several times.

    Attributes:
        operation: The short name of the operation, such as "create".
        client: The client.
        user: The app user.
        request: The HTTP request.
        key: The idempotency key; `None` if the operation takes none.
        makes_external_call: Whether the server calls another system before it commits, at each try.
        tries: The number of tries so far.
    """

    operation: str
    client: Client
    user: User
    request: Request
    key: str | None
    makes_external_call: bool
    tries: int = 0


class Population:
    """The clients and the users of a simulation. A client is an app with its API keys.

    Clients 0 and 1 share a customer account and its users, clients 2 and 3 the next one, and so on.
    The constructor registers all API keys with the store.

    Args:
        number: The number of clients.
        dice: The source of all random decisions.
        numbers: An iterator of unused numbers, from which unique ids are made.
        journal: The world's log, to which the registrations of the API keys are added.
        store: The store.
        now: The first instant of the world.

    Attributes:
        clients: The clients.
    """

    def __init__(
        self,
        number: int,
        dice: Dice,
        numbers: Iterator[int],
        journal: Journal,
        store: StoreWithApiKeys,
        now: datetime,
    ) -> None:
        self._dice = dice
        self._numbers = numbers
        self._journal = journal
        self.clients = [self._make_client(each, store, now) for each in range(number)]
        self._users: dict[values.CustomerAccountId, list[User]] = {}
        for client in self.clients:
            account = client.caller.customer_account_id
            if account not in self._users:
                self._users[account] = [
                    self._make_user(account, now) for _ in range(dice.profile.users)
                ]

    def _make_client(self, number: int, store: StoreWithApiKeys, now: datetime) -> Client:
        callers: dict[str, Caller] = {}
        for environment, mark in ((values.Environment.LIVE, ""), (values.Environment.TEST, "t")):
            for access in ("write", "read"):
                callers[f"cae_{environment}_{number}_{access}"] = Caller(
                    api_key_id=values.ApiKeyId(f"key-{number}-{mark}{access[0]}"),
                    app_id=values.AppId(f"app-{number}"),
                    customer_account_id=values.CustomerAccountId(uuid_of(0xA, number // 2)),
                    environment=environment,
                    scopes=frozenset({CONNECTION_WRITE} if access == "write" else ()),
                )
        for key, caller in callers.items():
            store.register(ApiKey(key), caller)
            self._journal.add_api_key(now, key, caller)
        return Client(next(iter(callers.values())), tuple(callers))

    def _make_user(self, account: values.CustomerAccountId, now: datetime) -> User:
        name = values.AppUserId(f"user-{next(self._numbers)}")
        gone_at = now + _DAY * self._dice.around(self._dice.profile.days_of_a_user)
        return User(name, gone_at, values.AppUser(values.Environment.LIVE, account, name))

    def pick_user(self, client: Client, now: datetime) -> User:
        """Draw a user of the customer account of a client, which is a simulated app.

        If the drawn user has stopped using the apps by `now`, a new user takes that user's place
        for good and is returned. The old user's requests and facts leave `journal`, the log passed
        to the constructor.
        """
        users = self._users[client.caller.customer_account_id]
        place = self._dice.chance.randrange(len(users))
        user = users[place]
        if user.gone_at <= now:
            self._journal.drop(user.app_user)
            user = users[place] = self._make_user(client.caller.customer_account_id, now)
        return user

    def draw_operation(self) -> str:
        """Draw the short name of an operation, such as "create"; some are drawn more often."""
        names, weights = [*_OPERATION_WEIGHTS], [*_OPERATION_WEIGHTS.values()]
        return self._dice.chance.choices(names, weights=weights)[0]

    def request(
        self, operation: str, client: Client, user: User, key: str | None, now: datetime
    ) -> Request | None:
        """Build an HTTP request that a client, a simulated app, sends for a user.

        Mishaps, which are drawn, may replace the API key or make the request malformed.

        Args:
            operation: The short name of the operation, such as "create".
            client: The client.
            user: The user.
            key: The idempotency key; `None` if the operation takes none.
            now: The current instant.

        Returns:
            The request; `None` if it needs the id of a connection and the client knows none.
        """
        call = self._call(operation, client, user, now=now)
        if call is None:
            return None
        method, path, body = call
        target = f"{BASE_PATH}{path}"
        api_key = client.keys[0]
        if self._dice.strikes(Mishap.WRONG_API_KEY):
            api_key = self._dice.chance.choice((*client.keys[1:], "cae_live_nobody"))
        keys: tuple[str, ...] = () if key is None else (key,)
        if self._dice.strikes(Mishap.BROKEN_REQUEST):
            if self._dice.likely(0.4):
                keys = ("unasked",) if key is None else self._dice.chance.choice(_MALFORMED_KEYS)
            else:
                method, target, body = self._dice.chance.choice(_MALFORMED)
        headers = [("Authorization", f"Bearer {api_key}")]
        headers += [("Idempotency-Key", each) for each in keys]
        if operation == "account-state" and self._dice.likely(0.3):
            headers.append(("If-None-Match", '"account-limited", "account-active"'))
        return Request(method=method, target=target, headers=tuple(headers), body=body)

    def _call(
        self, operation: str, client: Client, user: User, now: datetime
    ) -> tuple[str, str, bytes] | None:
        """Return the method, path and body of a well-formed request, or None."""
        match operation:
            case "create":
                number = self._dice.chance.randint(1, len(PACKAGES))
                packages = self._dice.chance.sample(PACKAGES, number)
                body = _json({"appUserId": user.name, "dataPackages": packages})
                return "POST", "/connections", body
            case "initiate":
                prefer_signup = self._dice.likely(0.5)
                body = _json({"appUserId": user.name, "preferSignup": prefer_signup})
                return "POST", "/curae-connect/initiate", body
            case "account-state":
                return "GET", f"/curae-connect/account-state?appUserId={user.name}", b""
            case "graduation":
                body = _json({"appUserId": user.name})
                return "POST", "/curae-connect/graduation-handoff", body
            case _:
                connection_id = self.pick_connection_id(client, user, now)
                if connection_id is None:
                    return None
                path = f"/connections/{connection_id}"
                if operation == "get":
                    return "GET", path, b""
                return "POST", f"{path}:{operation}", b""

    def pick_connection_id(
        self, client: Client, user: User, now: datetime
    ) -> values.ConnectionId | None:
        """Draw the id of one of the user's connections that the client knows, mostly the newest.

        A client is a simulated app. As a mishap, the id is sometimes an unknown one or that of
        another client's connection.

        Args:
            client: The client.
            user: The user.
            now: The current instant.

        Returns:
            The id; `None` if the client knows none.
        """
        if self._dice.strikes(Mishap.FOREIGN_ID):
            other = self._dice.chance.choice(self.clients)
            theirs = [] if other is client else self.pick_user(other, now).ids_known_by(other)
            unknown = values.ConnectionId(uuid_of(0xF, self._dice.chance.randrange(1000)))
            return self._dice.chance.choice((unknown, *theirs))
        known = user.ids_known_by(client)
        if not known:
            return None
        return known[-1] if self._dice.likely(0.6) else self._dice.chance.choice(known)


def uuid_of(kind: int, number: int) -> str:
    """Make a UUID that shows the kind and the number of the value that it identifies.

    Args:
        kind: The number of a kind of values, which becomes the first eight hex digits.
        number: The number of the value, which becomes the last twelve hex digits.
    """
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode()
