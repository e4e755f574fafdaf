"""Who uses the platform: apps with their API keys, their users, and what they ask."""

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
"""What may be asked for."""

_BROKEN: Final = (
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
_BROKEN_KEYS: Final[tuple[tuple[str, ...], ...]] = ((), ("",), ('"open',), ("one", "two"))


@attrs.frozen
class Client:
    """One app with its API keys."""

    caller: Caller
    keys: tuple[str, ...]
    """One that may write, one that may only read, then the same two of the test environment."""


@attrs.define
class User:
    """One app user of an account, in every app of that account."""

    name: values.AppUserId
    gone_at: datetime
    app_user: values.AppUser
    connections: dict[values.AppId, list[values.ConnectionId]] = attrs.field(
        factory=dict[values.AppId, list[values.ConnectionId]]
    )

    def of(self, client: Client) -> list[values.ConnectionId]:
        """The latest ids of this user's connections that an app knows."""
        return self.connections.setdefault(client.caller.app_id, [])


class Population:
    """Every client, an app, and the users that each account has at a time."""

    def __init__(
        self,
        number: int,
        dice: Dice,
        numbers: Iterator[int],
        journal: Journal,
        store: StoreWithApiKeys,
        now: datetime,
    ) -> None:
        """So many apps, two of an account; the store knows their API keys."""
        self._dice = dice
        self._numbers = numbers
        self._journal = journal
        self.clients = [self._client(each, store, now) for each in range(number)]
        self._users: dict[values.CustomerAccountId, list[User]] = {}
        for client in self.clients:
            account = client.caller.customer_account_id
            if account not in self._users:
                self._users[account] = [self._user(account, now) for _ in range(dice.mix.users)]

    def _client(self, number: int, store: StoreWithApiKeys, now: datetime) -> Client:
        account = values.CustomerAccountId(uuid_of(0xA, number // 2))
        app = values.AppId(f"app-{number}")
        scopes = frozenset({CONNECTION_WRITE})
        live, test = values.Environment.LIVE, values.Environment.TEST
        callers = (
            Caller(
                api_key_id=values.ApiKeyId(f"key-{number}-w"),
                app_id=app,
                customer_account_id=account,
                environment=live,
                scopes=scopes,
            ),
            Caller(
                api_key_id=values.ApiKeyId(f"key-{number}-r"),
                app_id=app,
                customer_account_id=account,
                environment=live,
                scopes=frozenset(),
            ),
            Caller(
                api_key_id=values.ApiKeyId(f"key-{number}-tw"),
                app_id=app,
                customer_account_id=account,
                environment=test,
                scopes=scopes,
            ),
            Caller(
                api_key_id=values.ApiKeyId(f"key-{number}-tr"),
                app_id=app,
                customer_account_id=account,
                environment=test,
                scopes=frozenset(),
            ),
        )
        keys = tuple(
            f"cae_{env}_{number}_{may}" for env in ("live", "test") for may in ("write", "read")
        )
        for key, caller in zip(keys, callers, strict=True):
            store.register(ApiKey(key), caller)
            self._journal.registered(now, key, caller)
        return Client(callers[0], keys)

    def _user(self, account: values.CustomerAccountId, now: datetime) -> User:
        name = values.AppUserId(f"user-{next(self._numbers)}")
        gone_at = now + _DAY * self._dice.around(self._dice.mix.days_of_a_user)
        return User(name, gone_at, values.AppUser(values.Environment.LIVE, account, name))

    def anyone(self, client: Client, now: datetime) -> User:
        """Some user of the client's account; whoever is gone has made room for another."""
        users = self._users[client.caller.customer_account_id]
        place = self._dice.chance.randrange(len(users))
        user = users[place]
        if user.gone_at <= now:
            self._journal.drop(user.app_user)
            user = users[place] = self._user(client.caller.customer_account_id, now)
        return user

    def request(
        self, wish: str, client: Client, user: User, key: str | None, now: datetime
    ) -> Request | None:
        """A request of a client for a user; `None` where there is nothing to ask about yet."""
        likely = self._dice.likely
        method, body = "POST", b""
        match wish:
            case "create":
                path = "/connections"
                packages = self._dice.chance.sample(
                    PACKAGES, self._dice.chance.randint(1, len(PACKAGES))
                )
                body = _json({"appUserId": user.name, "dataPackages": packages})
            case "initiate":
                path = "/curae-connect/initiate"
                body = _json({"appUserId": user.name, "preferSignup": likely(0.5)})
            case "account-state":
                method, path = "GET", f"/curae-connect/account-state?appUserId={user.name}"
            case "graduation":
                path = "/curae-connect/graduation-handoff"
                body = _json({"appUserId": user.name})
            case _:
                connection_id = self.some_id(client, user, now)
                if connection_id is None:
                    return None
                method = "GET" if wish == "get" else "POST"
                path = f"/connections/{connection_id}" + ("" if wish == "get" else f":{wish}")
        api_key = client.keys[0]
        if self._dice.strikes(Mishap.STRANGER_KEY):
            api_key = self._dice.chance.choice((*client.keys[1:], "cae_live_nobody"))
        keys: tuple[str, ...] = () if key is None else (key,)
        target = f"{BASE_PATH}{path}"
        if self._dice.strikes(Mishap.BROKEN_REQUEST):
            if likely(0.4):
                keys = self._dice.chance.choice(_BROKEN_KEYS) if key is not None else ("unasked",)
            else:
                method, target, body = self._dice.chance.choice(_BROKEN)
        headers = [("Authorization", f"Bearer {api_key}")]
        headers += [("Idempotency-Key", each) for each in keys]
        if wish == "account-state" and likely(0.3):
            headers.append(("If-None-Match", '"account-limited", "account-active"'))
        return Request(method=method, target=target, headers=tuple(headers), body=body)

    def some_id(self, client: Client, user: User, now: datetime) -> values.ConnectionId | None:
        """The id of a connection, mostly the user's newest; `None` where it has none."""
        if self._dice.strikes(Mishap.STRANGER_ID):
            other = self._dice.chance.choice(self.clients)
            theirs = [] if other is client else self.anyone(other, now).of(other)
            nobody = values.ConnectionId(uuid_of(0xF, self._dice.chance.randrange(1000)))
            return self._dice.chance.choice((nobody, *theirs))
        known = user.of(client)
        if not known:
            return None
        # The newest most of the time.
        return known[-1] if self._dice.likely(0.6) else self._dice.chance.choice(known)


def uuid_of(kind: int, number: int) -> str:
    """The UUID of a kind of thing and a number."""
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode()
