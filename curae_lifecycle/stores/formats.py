"""The forms that stored values have had, and how an earlier one becomes the next.

The law of this module: **what this release stored the next one reads, and what a newer one stored
is refused by name**, never misread. Forms are numbered from 1, each kind of value by itself; an
upgrade leads from one to the next, and a document goes through all that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.web.json import Json, MalformedError

Document = dict[str, Json]
"""A value as it is stored: JSON."""

FORMAT: Final = "format"
"""The member that says which form a document has."""


@attrs.frozen
class Upgrade:
    """One step from a stored form to the next.

    Attributes:
        name: What changed.
        apply: Makes a document of the next form; it may change the one that it is given.
    """

    name: str
    apply: Callable[[Document], Document]


Upgrades = Mapping[str, tuple[Upgrade, ...]]
"""What brings a stored document to the next form, by the name of its type."""

UPGRADES: Final[Upgrades] = {}
"""The steps of each kind of value, by the name of its class; a kind without any has one form."""


class NewerFormatError(LifecycleError, ValueError):
    """A value of a form that only a newer release knows.

    Attributes:
        kind: What was stored.
        stored: The number of its form.
        known: The newest form that this release reads.
    """

    def __init__(self, kind: str, stored: int, known: int) -> None:
        """Say which kind of value, its form and the newest one that is known."""
        super().__init__(kind, stored, known)
        self.kind = kind
        self.stored = stored
        self.known = known

    def __str__(self) -> str:
        return (
            f"{self.kind}: stored in form {self.stored} by a newer release; "
            f"this one reads forms up to {self.known}"
        )


def newest_format(kind: str, upgrades: Upgrades = UPGRADES) -> int:
    """The form that this release stores.

    Args:
        kind: The name of a type.
        upgrades: What brings each form to the next.
    """
    return 1 + len(upgrades.get(kind, ()))


def upgrade_document(kind: str, document: Document, upgrades: Upgrades = UPGRADES) -> Document:
    """A stored document in the newest form, without the number of its own.

    Args:
        kind: The name of a type.
        document: What was stored.
        upgrades: What brings each form to the next.

    Raises:
        MalformedError: It does not say its form.
        NewerFormatError: A newer release stored it.
    """
    members = dict(document)
    form, known = members.pop(FORMAT, None), newest_format(kind, upgrades)
    if type(form) is not int or form < 1:
        raise MalformedError(FORMAT, Fault.INVALID)
    if form > known:
        raise NewerFormatError(kind, form, known)
    for upgrade in upgrades.get(kind, ())[form - 1 :]:
        members = upgrade.apply(members)
    return members
