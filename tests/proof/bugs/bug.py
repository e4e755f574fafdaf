"""Types of seeded bugs: the mistake, its source, what it breaks and what finds it."""

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
        seen: A real project with the mistake, or empty if none is known.
        found_by: The checks of the conformance kit that find it, the most telling first.
        make: The factory of the server.
        slowly: Whether it shows only if requests overlap.
    """

    name: str
    wrong: str
    breaks: str
    found_by: tuple[str, ...]
    make: Callable[[], Service]
    seen: str = ""
    slowly: bool = False


@attrs.frozen
class HiddenBug(Generic[Subject]):
    """A function or store with one mistake that no client can see.

    Attributes:
        name: Its name.
        wrong: What it does, in one sentence.
        breaks: The law or the rule that it breaks.
        seen: A real project with the mistake, or empty if none is known.
        found_by: The model or the law function that finds it.
        probe: A function that raises if its argument is wrong.
        right: The library's function or store.
        mistaken: The one with the mistake.
    """

    name: str
    wrong: str
    breaks: str
    found_by: str
    probe: Callable[[Subject], None]
    right: Subject
    mistaken: Subject
    seen: str = ""

    def probe_right(self) -> None:
        """Probe the library's version, which must not raise."""
        self.probe(self.right)

    def probe_mistaken(self) -> None:
        """Probe the mistaken version, which must raise."""
        self.probe(self.mistaken)


class Hidden(Protocol):
    """A hidden bug of any subject."""

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
