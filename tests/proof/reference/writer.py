"""Randomness, time and text for generated lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar
from unicodedata import normalize
from uuid import UUID

Chosen = TypeVar("Chosen")

TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HALF_HOUR = timedelta(minutes=30)
SKEW = timedelta(minutes=5)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)
FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_900, tzinfo=UTC)

API = "/api/sdk/v1/"
CREATE = API + "connections"
INITIATE = API + "curae-connect/initiate"
ACCOUNT = API + "curae-connect/account-state"
GRADUATION = API + "curae-connect/graduation-handoff"

ACCOUNT_1 = "11111111-aaaa-4bbb-8ccc-000000000001"
ACCOUNT_2 = "22222222-aaaa-4bbb-8ccc-000000000002"
# name: app, account, environment, scopes
KEYS: dict[str, tuple[str, str, str, list[str]]] = {
    "cae_live_k1": ("app-1", ACCOUNT_1, "live", ["connection:write"]),
    "cae_live_k2": ("app-1", ACCOUNT_1, "live", ["other:read", "connection:write"]),
    "cae_live_k3": ("app-2", ACCOUNT_1, "live", ["connection:write"]),
    "cae_live_k4": ("app-1", ACCOUNT_2, "live", ["connection:write"]),
    "cae_test_k5": ("app-1", ACCOUNT_1, "test", ["connection:write"]),
    "cae_live_k6": ("app-1", ACCOUNT_1, "live", []),
    "cae_live_K1": ("App-1", ACCOUNT_1, "live", ["connection:write"]),
    "cae_live_k1_": ("app-1\u200b", ACCOUNT_1, "live", ["connection:write"]),
}
NO_SCOPE = "cae_live_k6"
MAIN_KEYS = ["cae_live_k1"] * 6 + list(KEYS)
USERS = ["user-1", "user-2", "user-3", "user-4", "Ünal Öz", "用户", "a\u2028b", "😀", "x" * 256]
# A text that differs from a user in case, normalization, width or an invisible end is another user.
TWINS = ["User-1", "user-1\u200b", "user-1\u0301", "user-1\u00ad", "\uff55ser-1", "user-1."]
TWINS += ["U\u0308nal O\u0308z", "\u00fcnal \u00d6z", "\u7528\u6237\ufe00"]
PLATFORM_USERS = ["u-1", "u-2", "u-3"]
PLATFORM_TWINS = ["U-1", "u-1\u200b", "u-1."]
PACKAGES = ["clinical_summary", "labs", "a", "vitals_2", "z9"]
NO_PACKAGES = ["unknown_one", "Labs", "labs_", "labs\n", "l\uff41bs"]
FACTS = ["authorize", "require_action", "expire", "revoke"]
ACTORS = ["APP", "PATIENT", "PLATFORM", "UPSTREAM"]


class Pairs(list[tuple[str, object]]):
    """A JSON object with its members in order, including repeated ones."""


class Raw(str):
    """JSON text that is written unchanged, right or wrong."""

    __slots__ = ()


class Known:
    """A requested connection: its name, and its significant instants."""

    def __init__(self, key: str, names: list[str], alias: str, created: datetime) -> None:
        self.key = key
        self.names = names
        self.alias = alias
        self.created = created
        self.deadline = created + HALF_HOUR if created < LAST - HALF_HOUR else LAST


class Sent:
    """A request that may be sent again."""

    def __init__(self, path: str, key: str, idempotency_key: str, body: object) -> None:
        self.path = path
        self.key = key
        self.idempotency_key = idempotency_key
        self.body = body


ABSENT = Raw("")


def format_time(time: datetime) -> str:
    text = time.replace(tzinfo=None, microsecond=0).isoformat()
    if time.microsecond:
        text += f".{time.microsecond:06}".rstrip("0")
    return text + "Z"


class Writer:
    """A writer of lines; `now` is the time of the next one."""

    def __init__(self, seed: int, lines: int) -> None:
        self.random = Random(seed)  # noqa: S311  # a seed is the point
        self.wanted = lines
        self.written: list[bytes] = []
        self.now = datetime(2026, 3, 1, 9, tzinfo=UTC)
        if seed % 16 == 14:
            self.now = FIRST
        if seed % 16 == 15:
            self.now = datetime(9999, 12, 30, 20, tzinfo=UTC)
        self.edges: list[datetime] = []
        self.known: list[Known] = []
        self.sessions: list[Known] = []
        self.states: list[str] = []
        self.sent: list[Sent] = []
        self.ids: list[str] = []
        self.count = 0

    # Chance -------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one(self, values: Sequence[Chosen]) -> Chosen:
        return self.random.choice(values)

    def recent(self, values: list[Chosen]) -> Chosen:
        """Choose a value, the last few more often."""
        return self.random.choice(values[-4:] if self.chance(0.8) else values)

    def number(self) -> int:
        self.count += 1
        return self.count

    def uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128)))

    def user(self) -> str:
        return self.one(USERS[:3]) if self.chance(0.8) else self.one([*USERS, *TWINS])

    def twin(self, text: str) -> str:
        """Return another text that looks the same, or nearly."""
        wide = text.translate({letter: letter + 0xFEE0 for letter in range(ord("a"), ord("z") + 1)})
        twins = [text.swapcase(), normalize("NFD", text), normalize("NFKD", text), wide]
        return self.one([*twins, *(text + end for end in "\u200b\u0301.")])

    def key(self) -> str:
        return self.one(MAIN_KEYS)

    # Time ---------------------------------------------------------------------------------

    def after(self, wait: timedelta) -> datetime:
        return self.now + wait if self.now < LAST - wait else LAST

    def before(self, wait: timedelta) -> datetime:
        return self.now - wait if self.now > FIRST + wait else FIRST

    def edge(self, *waits: timedelta) -> None:
        self.edges.extend(self.after(wait) for wait in waits)

    def jump(self, time: datetime) -> None:
        self.now = min(max(time, self.now), LAST)

    def beside(self, time: datetime) -> datetime:
        """Return the instant itself or one tick beside it, if that is a valid time."""
        if not FIRST < time < LAST:
            return time
        return time + self.one([-1, 0, 0, 1]) * TICK

    def pass_time(self) -> None:
        roll = self.random.random()
        if roll < 0.5:
            return
        if roll < 0.7:
            self.jump(self.after(self.random.randrange(1, 5000) * TICK))
        elif roll < 0.86:
            self.jump(self.after(self.random.randrange(1, 20_000) * 1000 * TICK))
        elif roll < 0.96:
            self.edges = sorted(edge for edge in self.edges if edge >= self.now)[:200]
            if self.edges:
                edge = self.edges[0] if self.chance(0.85) else self.one(self.edges[:20])
                self.jump(self.beside(edge))
        elif roll < 0.985:
            self.jump(self.after(self.random.randrange(1, 40) * MINUTE))
        elif roll < 0.997:
            self.jump(self.after(self.random.randrange(1, 12) * HALF_HOUR))
        else:
            self.jump(self.after(DAY))

    # Text ---------------------------------------------------------------------------------

    def text(self, value: object) -> str:
        space = " " if self.chance(0.3) else ""
        if isinstance(value, Raw):
            return str(value)
        if isinstance(value, dict):
            pairs = list(value.items())
            self.random.shuffle(pairs)
            value = Pairs(pairs)
        if isinstance(value, Pairs):
            inner = (json.dumps(n) + f"{space}:{space}" + self.text(v) for n, v in value)
            return "{" + f",{space}".join(inner) + "}"
        if isinstance(value, list):
            return "[" + f",{space}".join(self.text(item) for item in value) + "]"
        plain = json.dumps(value, ensure_ascii=False)
        try:
            plain.encode()
        except UnicodeEncodeError:
            return json.dumps(value)
        return plain if self.chance(0.5) else json.dumps(value)

    def write(self, **line: object) -> None:
        self.written.append(self.text({"at": format_time(self.now), **line}).encode())
