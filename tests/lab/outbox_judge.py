"""The judge of an outbox whose servers and workers were killed."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import attrs
import sqlalchemy as sa

from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.connection import Connection, Status
from curae_lifecycle.stores.codec import load
from curae_lifecycle.web.json import parse_json


@attrs.define
class Run:
    """The result of a run.

    Attributes:
        kills: The number of killed processes, by role and point.
        posted: The number of committed messages.
        shipped: The number of messages delivered at least once.
        doubled: The number of repeated deliveries.
        late: The number of claims that ended before their result was recorded.
        most: The most deliveries of one message.
        broken: Messages that were lost, out of order or never posted.
    """

    kills: Counter[tuple[str, str]]
    posted: int = 0
    shipped: int = 0
    doubled: int = 0
    late: int = 0
    most: int = 0
    broken: list[str] = attrs.field(factory=list[str])

    @property
    def lost(self) -> int:
        return self.posted - self.shipped

    def ships_killed(self) -> int:
        return sum(times for (role, _), times in self.kills.items() if role == "ship")

    def __str__(self) -> str:
        killed = ", ".join(f"{role} {point}: {n}" for (role, point), n in self.kills.items())
        said = (
            f"{self.posted} messages, {self.lost} lost, {self.doubled} doubled "
            f"(one at most {self.most} times, {self.late} claims over) "
            f"by {self.ships_killed()} kills of workers and "
            f"{self.kills.total() - self.ships_killed()} of servers ({killed})"
        )
        return "\n".join([said, f"{len(self.broken)} violations", *self.broken[:10]])


def whole_lines(text: str) -> tuple[list[object], int]:
    """Return the lines of a journal, and how many more a kill has cut off."""
    lines, cut = list[object](), 0
    for line in filter(None, text.split("\n")):
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            cut += 1
    return lines, cut


def judge(url: str, journal: Path, run: Run) -> None:
    """Compare deliveries with committed messages, and with the stored values."""
    lines, cut = whole_lines(journal.read_text())
    if cut > run.kills["ship", "anywhere"]:
        run.broken.append(f"{cut} lines of the journal are cut off")
    shipped = [line for line in lines if isinstance(line, list)]
    run.late = len(lines) - len(shipped)
    times = Counter(number for number, _, _ in shipped)
    engine = sa.create_engine(url)
    with engine.connect() as connection:

        def table(text: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.execute(sa.text(text))]

        posted = {row[0] for row in table("SELECT id FROM posted")}
        left = table("SELECT id FROM curae_outbox")
        stored = [row[0] for row in table("SELECT document FROM curae_connection")]
        bound = [row[0] for row in table("SELECT document FROM curae_binding")]
    engine.dispose()
    run.posted, run.shipped = len(posted), len(posted & times.keys())
    run.doubled, run.most = times.total() - len(times), max(times.values(), default=0)
    run.broken += [f"number {number} was never shipped" for number in posted - times.keys()]
    run.broken += [f"number {number} was never committed" for number in times.keys() - posted]
    run.broken += [f"number {row[0]} is still there" for row in left]
    run.broken += out_of_order(shipped)
    told = [document for _, _, document in shipped]
    run.broken += untold(told, [str(each) for each in stored], [str(each) for each in bound])


def out_of_order(shipped: list[list[object]]) -> Iterator[str]:
    """Return messages of one subject that were delivered out of order."""
    subjects: defaultdict[object, list[tuple[object, dict[str, object]]]] = defaultdict(list)
    for number, subject, document in shipped:
        assert isinstance(document, dict)
        subjects[subject].append((number, document))
    for subject, of_it in subjects.items():
        numbers = [number for number, _ in of_it]
        if numbers != sorted(numbers, key=lambda each: int(str(each))):
            yield f"subject {subject}: {numbers}"
        # A connection's instants never go back. A binding has none, so its events may.
        events = [each for _, each in of_it if str(each["kind"]).startswith("connection.")]
        ats = [str(each["at"]) for each in events]
        if ats != sorted(ats, key=lambda each: each.rstrip("Z").ljust(27, "0")):
            yield f"subject {subject}: {ats}"


def untold(told: list[dict[str, object]], stored: list[str], bound: list[str]) -> Iterator[str]:
    """Return stored values whose events or effects were never posted."""
    effects = {(each["kind"], each.get("connectionId")) for each in told}
    events = set()
    for each in told:
        subject = each.get("subject")
        if isinstance(subject, dict):
            events.add((each["kind"], subject.get("id")))
    users = {each["userId"] for each in told if each["kind"] == "UserProvisioned"}
    for text in stored:
        connection = load(Connection, parse_json(text))
        wanted = ["connection.created"]
        if connection.authorized_at is not None:
            wanted.append("connection.authorized")
        if connection.status is Status.REVOKED:
            wanted.append("connection.revoked")
            ended = "HandoffCancelled" if connection.authorized_at is None else "AccessEnded"
            if (ended, connection.id) not in effects:
                yield f"nobody was told {ended} of {connection.id}"
        yield from (
            f"nobody was told {kind} of {connection.id}"
            for kind in wanted
            if (kind, connection.id) not in events
        )
    for text in bound:
        binding = load(LimitedAccountAppBinding, parse_json(text))
        # There are no sign-ups here, so every user was provisioned.
        if binding.user_id not in users:
            yield f"nobody was told UserProvisioned of {binding.user_id}"
