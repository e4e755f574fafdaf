"""Texts that look alike, and checks that every store keeps them apart.

An id is opaque and compared exactly. Databases, caches and frameworks fold case, normalize and
trim; one that does so gives two users one account. A `Place` is anything that stores values: each
check sends requests and facts of many similar ids through it, and no id may see another's values.
"""

from __future__ import annotations

import json
from itertools import count
from random import Random
from typing import Final, Protocol
from unicodedata import category, normalize
from urllib.parse import quote

import attrs

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection
from curae_lifecycle.rules.credentials import CONNECTION_WRITE, ApiKey, Caller
from curae_lifecycle.rules.outcomes import Done, Ignored, Refused
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import (
    APP_USER_ID_MAX_LENGTH,
    ApiKeyId,
    AppId,
    AppUserId,
    ConnectionId,
    Coordinate,
    CustomerAccountId,
    Environment,
    SessionId,
    UserId,
)
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.fact import Fact, FactAnswer
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import Request
from tests.support.strategies import uuid

# --- Texts ----------------------------------------------------------------------------------

_BASE: Final = "Stra\N{LATIN SMALL LETTER SHARP S}e \N{LATIN SMALL LIGATURE FI}\N{SUPERSCRIPT TWO}"
"""A text whose case, composition and compatibility forms all differ."""

_RING: Final = "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}"
_ANGSTROM: Final = "\N{ANGSTROM SIGN}"

INVISIBLE: Final = (
    "\N{ZERO WIDTH SPACE}",
    "\N{ZERO WIDTH JOINER}",
    "\N{WORD JOINER}",
    "\N{ZERO WIDTH NO-BREAK SPACE}",
    "\N{SOFT HYPHEN}",
    "\N{RIGHT-TO-LEFT MARK}",
    "\N{VARIATION SELECTOR-16}",
    "\N{COMBINING GRAPHEME JOINER}",
    "\N{TAG LATIN CAPITAL LETTER A}",
)
COMBINING: Final = ("\N{COMBINING ACUTE ACCENT}", "\N{COMBINING LONG SOLIDUS OVERLAY}")
SPACES: Final = ("\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}", "  ", "\N{LINE SEPARATOR}")


def _wide(text: str) -> str:
    return "".join([chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text])


def _twins(text: str) -> list[str]:
    return [
        text,
        *(text.upper(), text.lower(), text.swapcase(), text.casefold()),
        # Some stores fold only ASCII.
        "".join([each.swapcase() if each.isascii() else each for each in text]),
        *(normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")),
        text.replace(_RING, _ANGSTROM),
        _wide(text),
        *(text + mark for mark in (*COMBINING, *INVISIBLE)),
        *(mark + text for mark in INVISIBLE),
        *(text.replace(" ", space) for space in SPACES),
        text.replace(" ", ""),
    ]


TWINS: Final = tuple(dict.fromkeys(_twins(_RING + _BASE)))
"""Texts that some kind of folding would make equal."""

FEW: Final = tuple(
    dict.fromkeys(
        [
            TWINS[0],
            TWINS[0].upper(),
            "".join([each.swapcase() if each.isascii() else each for each in TWINS[0]]),
            normalize("NFD", TWINS[0]),
            normalize("NFKC", TWINS[0]),
            _wide(TWINS[0]),
            TWINS[0] + COMBINING[0],
            TWINS[0] + INVISIBLE[0],
            TWINS[0].replace(" ", SPACES[0]),
        ]
    )
)
"""One text of each kind, for slow places."""

KEY_TWINS: Final = ("k-1", "K-1", "k_1", "k-1.", "k-1-", "k-l", "k-01", "k%2D1", "'k-1'", "k-1/*")
"""Idempotency keys that differ in case, trailing marks and the quoting of other syntaxes."""

ACCOUNT_TWINS: Final = tuple([uuid(0xA0 + number) for number in range(6)])
"""Customer accounts; a UUID is read in any case, so each is another UUID."""

PACKAGE_TWINS: Final = ("labs", "lab", "labs_", "labs__", "labs2", "l_abs")


def folded(text: str) -> str:
    """Remove everything from a text that some store might ignore."""
    text = normalize("NFKD", normalize("NFKD", text).casefold())
    return "".join([each for each in text if category(each) not in {"Mn", "Cf", "Zs", "Zl"}])


def unusual() -> list[str]:
    """Return app user ids that together hold every code point an id may hold."""
    points = [
        *(range(0x20, 0x7F)),
        *(range(0xA0, 0xD800)),
        *(range(0xE000, 0x110000)),
    ]
    # White space is not allowed at either end.
    return [
        "a" + "".join(map(chr, points[start : start + 254])) + "z"
        for start in range(0, len(points), 254)
    ]


# Drawn at random, so that compression does not shorten it.
_DRAWN: Final = Random(1).sample(range(0x10000, 0x110000), APP_USER_ID_MAX_LENGTH)  # noqa: S311 - a text
LONGEST: Final = "".join(map(chr, _DRAWN))
"""An app user id with as many bytes as allowed."""


# --- Places ---------------------------------------------------------------------------------


class Place(Protocol):
    """A store behind a request path."""

    def register(self, api_key: ApiKey, caller: Caller) -> None:
        """Register an API key for a caller."""
        ...

    def send(self, request: Request) -> Response:
        """Answer a request."""
        ...

    def record_fact(self, fact: Fact) -> FactAnswer:
        """Record a fact."""
        ...

    def replace_buckets(self, buckets: tuple[Bucket, ...]) -> None:
        """Replace the buckets by others, all of them full."""
        ...

    def connection(self, connection_id: ConnectionId) -> Connection | None:
        """Return a connection as stored."""
        ...

    def binding(self, coordinate: Coordinate) -> LimitedAccountAppBinding | None:
        """Return a binding as stored."""
        ...


@attrs.frozen
class App:
    """A place as seen with one API key."""

    place: Place
    api_key: str
    caller: Caller
    keys: count[int] = attrs.field(factory=count, eq=False)

    def post(self, path: str, body: dict[str, object], key: str | None = None) -> Response:
        """Send a mutation, with a fresh key unless one is given."""
        key = f"{self.api_key}-{next(self.keys)}" if key is None else key
        headers = (("Authorization", f"Bearer {self.api_key}"), ("Idempotency-Key", key))
        # The bytes without escapes, as a client in another language sends them.
        text = json.dumps(body, ensure_ascii=False).encode()
        return self.place.send(
            Request(method="POST", target=f"/api/sdk/v1/{path}", headers=headers, body=text)
        )

    def get(self, path: str) -> Response:
        """Send a read."""
        headers = (("Authorization", f"Bearer {self.api_key}"),)
        return self.place.send(Request("GET", f"/api/sdk/v1/{path}", headers))

    def initiate(self, user: str, key: str | None = None, *, signup: bool = False) -> Response:
        """Initiate a session for a user."""
        body = {"appUserId": user, "preferSignup": signup}
        return self.post("curae-connect/initiate", body, key)

    def create(self, user: str, key: str | None = None, package: str = "labs") -> Response:
        """Create a connection for a user."""
        return self.post("connections", {"appUserId": user, "dataPackages": [package]}, key)

    def state(self, user: str) -> object:
        """Read the account state of a user."""
        return _read(self.get(f"curae-connect/account-state?appUserId={quote(user, safe='')}"))[
            "lifecycleState"
        ]

    def coordinate(self, user: str) -> Coordinate:
        """Return the coordinate of a user."""
        return self.caller.coordinate(AppUserId(user))


def owner(
    *,
    api_key_id: str = "key",
    app_id: str = "app",
    customer_account_id: str = uuid(0xAC),
    scope: str = CONNECTION_WRITE,
) -> Caller:
    """Return a caller with these ids."""
    return Caller(
        api_key_id=ApiKeyId(api_key_id),
        app_id=AppId(app_id),
        customer_account_id=CustomerAccountId(customer_account_id),
        environment=Environment.LIVE,
        scopes=frozenset({scope}),
    )


def owners(member: str, twins: tuple[str, ...]) -> list[Caller]:
    """Return callers that differ in one id only."""
    match member:
        case "api_key_id":
            return [owner(api_key_id=text) for text in twins]
        case "app_id":
            return [owner(app_id=text) for text in twins]
        case _:
            return [owner(customer_account_id=text) for text in ACCOUNT_TWINS]


def app(place: Place, name: str, caller: Caller | None = None) -> App:
    """Register a caller at a place, a fresh one unless it is given."""
    caller = owner(api_key_id=name, app_id=name) if caller is None else caller
    place.register(ApiKey(f"cae_live_{name}"), caller)
    return App(place, f"cae_live_{name}", caller)


def _read(answer: Response, status: int = 200) -> dict[str, object]:
    assert answer.status == status, (answer.status, answer.body)
    document: object = json.loads(answer.body)
    assert isinstance(document, dict)
    return document


def _made(answer: Response, kind: str = "connection") -> dict[str, object]:
    made = _read(answer, 201)[kind]
    assert isinstance(made, dict)
    return made


def _refused(answer: Response) -> tuple[int, object]:
    return answer.status, _read(answer, answer.status)["code"]


LIMITED: Final = (429, "RATE_LIMITED")
CONFLICT: Final = "BINDING_CONFLICT"


# --- Checks for every place -----------------------------------------------------------------


def check_users(place: Place, twins: tuple[str, ...]) -> None:
    """Check that similar app users have separate accounts, limits and connections."""
    one = app(place, "users")
    assert {one.state(user) for user in twins} == {"UNLINKED"}
    for user in twins:
        session = _made(one.initiate(user), "session")
        assert (session["appUserId"], session["path"]) == (user, "SILENT_LIMITED")
        if user == twins[0]:
            states = [one.state(each) for each in twins]
            assert states == ["LIMITED"] + ["UNLINKED"] * (len(twins) - 1)
    bindings = [place.binding(one.coordinate(user)) for user in twins]
    assert [each and each.coordinate.app_user_id for each in bindings] == [*twins]
    assert len({each and each.user_id for each in bindings}) == len(twins)

    assert [one.initiate(twins[0]).status for _ in range(9)] == [201] * 9
    assert _refused(one.initiate(twins[0])) == LIMITED
    assert {one.initiate(user).status for user in twins[1:]} == {201}

    made = [_made(one.create(user, f"create-{number}")) for number, user in enumerate(twins)]
    assert [each["appUserId"] for each in made] == [*twins]
    assert len({each["id"] for each in made}) == len(twins)
    for each in made:
        assert _read(one.get(f"connections/{each['id']}"))["connection"] == each
    reused = {_refused(one.create(user, "create-0")) for user in twins[1:]}
    assert reused == {(422, "IDEMPOTENCY_KEY_REUSED")}

    assert isinstance(place.record_fact(Tombstoned(one.coordinate(twins[0]))), Done)
    assert [one.state(user) for user in twins] == ["TOMBSTONED"] + ["LIMITED"] * (len(twins) - 1)
    stored = [place.connection(ConnectionId(str(each["id"]))) for each in made]
    ended = [each and each.status.value for each in stored]
    assert ended == ["REVOKED"] + ["PENDING"] * (len(twins) - 1)


def check_owners(place: Place, member: str, twins: tuple[str, ...]) -> None:
    """Check that similar key ids, apps or customer accounts are separate.

    The app user's limit is shared by all apps of an account, and its connections by all API keys
    of an app.
    """
    place.replace_buckets((Bucket(name="platform", capacity=1, refill=1, seconds=3600),))
    callers = owners(member, twins)
    apps = [app(place, f"{member}-{number}", each) for number, each in enumerate(callers)]
    user, unknown = f"user-of-{member}", f"connections/{uuid(0xDEAD)}"
    for each in apps:
        assert each.get(unknown).status == 404
    for each in apps:
        assert _refused(each.get(unknown)) == LIMITED
    place.replace_buckets(())

    # The same key, user and values never get the response of another owner.
    answers = [each.create(user, "same") for each in apps]
    ids = [_made(answer)["id"] for answer in answers]
    assert len(set(ids)) == len(apps)
    assert [each.create(user, "same") for each in apps] == answers
    first, *others = apps
    stranger = 200 if member == "api_key_id" else 404
    for each in others:
        seen = each.get(f"connections/{ids[0]}")
        assert seen.status == stranger
        assert stranger == 200 or seen.body == each.get(unknown).body
        assert each.post(f"connections/{ids[0]}:revoke", {}).status == stranger

    _made(first.initiate(user), "session")
    states = [each.state(user) for each in apps]
    linked = len(apps) if member == "api_key_id" else 1
    assert states == ["LIMITED"] * linked + ["UNLINKED"] * (len(apps) - linked)
    assert [first.initiate(user).status for _ in range(9)] == [201] * 9
    own = member == "customer_account_id"
    for each in others:
        answer = each.initiate(user)
        assert (answer.status == 201) if own else (_refused(answer) == LIMITED)
    assert _refused(first.initiate(user)) == LIMITED


def check_keys(place: Place) -> None:
    """Check that similar idempotency keys have separate requests and responses."""
    one = app(place, "keys")
    answers = [one.create(f"user-{number}", key) for number, key in enumerate(KEY_TWINS)]
    assert len({_made(answer)["id"] for answer in answers}) == len(KEY_TWINS)
    again = [one.create(f"user-{number}", key) for number, key in enumerate(KEY_TWINS)]
    assert again == answers
    # A quoted key equals the key, and a key that is not ASCII is refused.
    assert one.create("user-0", f'"{KEY_TWINS[0]}"') == answers[0]


def check_user_ids(place: Place, twins: tuple[str, ...]) -> None:
    """Check that similar platform users stay separate and are stored unchanged."""
    one = app(place, "platform")
    for number, text in enumerate(twins):
        user, coordinate = UserId(text), one.coordinate(f"user-{number}")
        sessions = [
            SessionId(str(_made(one.initiate(f"user-{number}", signup=True), "session")["id"]))
            for _ in range(2)
        ]
        assert isinstance(place.record_fact(HandoffCompleted(sessions[0], user)), Done)
        bound = place.binding(coordinate)
        assert bound is not None
        assert bound.user_id == text
        twin = UserId(twins[number - 1])
        for fact in (
            HandoffCompleted(sessions[0], twin),
            HandoffCompleted(sessions[1], twin),
            Graduated(coordinate, twin),
        ):
            answer = place.record_fact(fact)
            assert isinstance(answer, Refused)
            assert answer.problem.code == CONFLICT
        assert isinstance(place.record_fact(HandoffCompleted(sessions[0], user)), Ignored)
        assert isinstance(place.record_fact(HandoffCompleted(sessions[1], user)), Done)
        assert isinstance(place.record_fact(Graduated(coordinate, user)), Ignored)


def check_packages(place: Place) -> None:
    """Check that similar data packages are granted separately and invalid ones refused."""
    one = app(place, "packages")
    for package in PACKAGE_TWINS:
        made = _made(one.create("user", package=package))
        assert made["dataPackages"] == [package]
        connection_id = ConnectionId(str(made["id"]))
        answer = place.record_fact(Authorized(connection_id))
        assert isinstance(answer, Done)
        stored = place.connection(connection_id)
        assert stored is not None
        granted = [
            each
            for each in (*PACKAGE_TWINS, *_twins(package)[1:])
            if isinstance(decide_access(stored, each, stored.updated_at, era=None), Granted)
        ]
        assert set(granted) == {package}
    for twin in {*_twins("labs")} - {"labs"}:
        assert _refused(one.create("user", package=twin)) == (400, "BAD_REQUEST")


def check_scopes(place: Place) -> None:
    """Check that a scope similar to the required one allows nothing."""
    twins = dict.fromkeys([*_twins(CONNECTION_WRITE), *_within(CONNECTION_WRITE)])
    for number, scope in enumerate(twins):
        one = app(place, f"scope-{number}", owner(app_id="scopes", scope=scope))
        answer = one.create("user")
        if scope == CONNECTION_WRITE:
            assert answer.status == 201
        else:
            assert _refused(answer) == (403, "SCOPE_INSUFFICIENT")


def _within(scope: str) -> list[str]:
    return [f"{scope}{mark}x" for mark in (*SPACES, " ", ",", "\t", "\x0b", "\x1c", "\x85")]


def check_unusual(place: Place, users: list[str]) -> None:
    """Check that unusual app user ids are stored unchanged and found again."""
    one = app(place, "unusual")
    for user in users:
        made = _made(one.create(user))
        assert made["appUserId"] == user
        stored = place.connection(ConnectionId(str(made["id"])))
        assert stored is not None
        assert stored.identity.coordinate.app_user_id == user
        _made(one.initiate(user), "session")
        bound = place.binding(one.coordinate(user))
        assert bound is not None
        assert bound.coordinate.app_user_id == user
        assert one.state(user) == "LIMITED"


def check_all(place: Place, twins: tuple[str, ...]) -> None:
    """Run every check of similar ids in one place."""
    check_users(place, twins)
    for member in ("api_key_id", "app_id", "customer_account_id"):
        check_owners(place, member, twins)
    check_keys(place)
    check_user_ids(place, twins)
    check_packages(place)
    check_scopes(place)
    check_unusual(place, [LONGEST, *unusual()[:: 4400 // 5]])
