"""The catalogue of every seeded bug, and its page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from curae_lifecycle.service.rulebook import find_rule
from tests.proof.bugs import (
    access,
    admission,
    attempts,
    charges,
    clocks,
    entry,
    hosted_pages,
    keys,
    leaving,
    likeness,
    limits,
    meeting,
    order,
    outbox,
    problems,
    recovery,
    registering,
    replays,
    requests,
    revocation,
    standing,
    stores,
    tenants,
    tombstones,
    values,
    wire,
)
from tests.proof.bugs.bug import Hidden, VisibleBug

VISIBLE: Final[dict[str, tuple[VisibleBug, ...]]] = {
    "Revocation": revocation.BUGS,
    "Recovery": recovery.BUGS,
    "Standing and time": standing.BUGS,
    "Access": access.BUGS,
    "The entry flow": entry.BUGS,
    "Tombstones": tombstones.BUGS,
    "Clocks that disagree": clocks.BUGS,
    "Idempotency keys": keys.BUGS,
    "Replays": replays.BUGS,
    "Rate limits: how many, and whose": limits.BUGS,
    "Rate limits: what is charged and said": charges.BUGS,
    "The order of a request": order.BUGS,
    "Reading a request": requests.BUGS,
    "Tenants": tenants.BUGS,
    "Answering": wire.BUGS,
    "Problems": problems.BUGS,
    "Hosted pages": hosted_pages.BUGS,
    "What leaves": leaving.BUGS,
    "Registrations and purges": registering.BUGS,
    "Twins and long chains": likeness.BUGS,
    "Where two meet": meeting.BUGS,
}
"""Servers with one mistake each, by subject."""

HIDDEN: Final[dict[str, tuple[Hidden, ...]]] = {
    "Merging snapshots": values.MERGE_BUGS,
    "Standing and access": values.STANDING_BUGS + values.ACCESS_BUGS,
    "Bindings": values.BINDING_BUGS,
    "Attempts that call out": attempts.BUGS,
    "Admission": admission.BUGS,
    "Facts, effects and events": (
        *values.EVENT_BUGS,
        *outbox.FACT_BUGS,
        *outbox.REPLAY_BUGS,
    ),
    "Stores": stores.BUGS,
}
"""Functions and stores with one mistake each that no client can see."""


def visible() -> list[VisibleBug]:
    """Return every bug that the conformance kit must find."""
    return [bug for bugs in VISIBLE.values() for bug in bugs]


def hidden() -> list[Hidden]:
    """Return every bug that a model or a law function must find."""
    return [bug for bugs in HIDDEN.values() for bug in bugs]


_HEAD: Final = """# Seeded bugs

<!-- Generated from tests/proof/bugs/catalogue.py; a test holds the two together. -->

Who tests the tests? These {all} mistakes; {known} of them real projects made.

- {visible} are servers with one mistake each that a client can see. The conformance kit finds every
  one of them, by the checks that are named; *at once* means that it shows only where requests
  overlap. Every check of the kit finds at least one of them.
- {hidden} are functions and stores with one mistake each that no client can see. The laws as
  functions and small predicted models find every one of them.

A correct server passes every check, and the library's own functions pass every model.

*Seen in* names an issue (`owner/repository#number`), or what was seen when a product was tried; it
is empty where no public case is known. The servers are in `tests/proof/bugs/`, each a few lines.
"""

_COLUMNS: Final = """
| bug | what goes wrong | seen in | breaks | found by |
| --- | --- | --- | --- | --- |
"""


def page() -> str:
    """Return the catalogue as Markdown."""
    counts = len(visible()), len(hidden())
    known = [bug.seen for bug in visible()] + [bug.seen for bug in hidden()]
    text = _HEAD.format(
        all=sum(counts), visible=counts[0], hidden=counts[1], known=len([*filter(None, known)])
    )
    text += "\n## What a client can see\n"
    for title, bugs in VISIBLE.items():
        text += f"\n### {title}\n{_COLUMNS}"
        text += "".join(_row(bug, bug.found_by) for bug in bugs)
    text += "\n## What no client can see\n"
    for title, others in HIDDEN.items():
        text += f"\n### {title}\n{_COLUMNS}"
        text += "".join(_row(bug, (bug.found_by,)) for bug in others)
    return text


def _row(bug: VisibleBug | Hidden, found_by: tuple[str, ...]) -> str:
    checks = ", ".join(f"`{check}`" for check in found_by)
    at_once = ", at once" if isinstance(bug, VisibleBug) and bug.slowly else ""
    breaks = _CITED.sub(_link, bug.breaks)
    return f"| {bug.name}{at_once} | {bug.wrong} | {bug.seen} | {breaks} | {checks} |\n"


_CITED: Final = re.compile(r"(?P<part>law|section) (?P<number>\d+)|(?P<rule>[a-z-]+(?:\.[a-z-]+)+)")


def _link(cited: re.Match[str]) -> str:
    if cited["rule"] is None:
        return f"[{cited[0]}](rules.md#{cited['part']}-{cited['number']})"
    found = find_rule(cited["rule"])
    assert found is not None, cited["rule"]
    return f"[{cited[0]}](tables/{found.table.name}.md)"


def rules_named(bug: VisibleBug | Hidden) -> Iterator[str]:
    """Yield the names of the table rows that a bug breaks."""
    for word in bug.breaks.replace(",", " ").replace(";", " ").split():
        if "." in word:
            yield word
