"""What a seeded bug is: one mistake, who made it, what it breaks and what finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import attrs

from tests.proof.bugs.service import Service

Subject = TypeVar("Subject")


@attrs.frozen
class VisibleBug:
    """A server with one mistake that a client can see.

    Attributes:
        name: Its name.
        wrong: What it does, in one sentence.
        breaks: The law or the table row that it breaks.
        seen: Where a real project made the mistake; empty where none is known to us.
        found_by: The checks of the conformance kit that find it, the most telling first.
        make: The server.
        slowly: Whether it shows only where requests run at the same time.
    """

    name: str
    wrong: str
    breaks: str
    seen: str
    found_by: tuple[str, ...]
    make: Callable[[], Service]
    slowly: bool = False


@attrs.frozen
class HiddenBug(Generic[Subject]):
    """A function or store with one mistake that no client can see.

    Attributes:
        name: Its name.
        wrong: What it does, in one sentence.
        breaks: The law or the rule that it breaks.
        seen: Where a real project made the mistake; empty where none is known to us.
        found_by: The model or the law function that finds it.
        probe: Raises where its argument is wrong, and does nothing where it is right.
        right: What the library does.
        mistaken: What the bug does.
    """

    name: str
    wrong: str
    breaks: str
    seen: str
    found_by: str
    probe: Callable[[Subject], None]
    right: Subject
    mistaken: Subject

    def probe_right(self) -> None:
        """Do nothing: the library is right."""
        self.probe(self.right)

    def probe_mistaken(self) -> None:
        """Raise: the bug is found."""
        self.probe(self.mistaken)


class Hidden(Protocol):
    """A hidden bug, whatever it is that has the mistake."""

    @property
    def name(self) -> str: ...
    @property
    def wrong(self) -> str: ...
    @property
    def breaks(self) -> str: ...
    @property
    def seen(self) -> str: ...
    @property
    def found_by(self) -> str: ...
    def probe_right(self) -> None: ...
    def probe_mistaken(self) -> None: ...
