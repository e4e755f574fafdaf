"""Numbered forms of stored values, and the upgrades from each form to the next.

The law of this module: **the next release reads what this one stored, and a value that a newer
release stored is refused by name**, never misread. The forms of each kind of value are
numbered from 1. A stored document goes through every upgrade from its form to the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from curae_lifecycle.rules.errors import LifecycleError
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.web.json import MalformedError

Document = dict[str, Json]
"""A stored value, as JSON."""

FORMAT: Final = "format"
"""The name of the JSON member of a stored document that says in which form the document is.

The forms of each kind of value are numbered from 1, and the member holds the number.
"""


@attrs.frozen
class Upgrade:
    """A step that converts a stored document from one numbered form to the next.

    Attributes:
        name: A description of the change, for readers of `UPGRADES`.
        apply: Takes a document, without the member `format`, and returns it in the next form. It
            may change the document that is passed in.
    """

    name: str
    apply: Callable[[Document], Document]


Upgrades = Mapping[str, tuple[Upgrade, ...]]
"""The upgrades of each kind of value, oldest first, by the name of the value's class.

An upgrade converts a stored document from one numbered form to the next.
"""

UPGRADES: Final[Upgrades] = {}
"""The upgrades by which this release reads stored values of older forms.

They are listed by the name of the value's class. A class that is not listed has one form only.
"""


class NewerFormatError(LifecycleError, ValueError):
    """The error for a stored value in a form that only a newer release can read.

    Attributes:
        kind: The name of the value's class.
        stored: The number of the value's form.
        known: The number of the newest form that this release reads.
    """

    def __init__(self, kind: str, stored: int, known: int) -> None:
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
    """Return the number of the form in which this release stores values of a class.

    Args:
        kind: The name of the value's class.
        upgrades: The upgrades by the class's name. Forms are numbered from 1, and each upgrade of
            the class leads to the next.
    """
    return 1 + len(upgrades.get(kind, ()))


def number_document(kind: str, members: Document) -> Document:
    """Return a document to store: a value's members, and a version number in the member `format`.

    The number says in which version of their JSON layout this release stores the class's values.

    Args:
        kind: The name of the value's class.
        members: The members of the value; none of them is named `format`.
    """
    return {FORMAT: newest_format(kind), **members}


def upgrade_document(kind: str, document: Document, upgrades: Upgrades = UPGRADES) -> Document:
    """Convert a stored document to the newest form; the result has no member `format`.

    That member holds the number of a stored document's form.

    Args:
        kind: The name of the value's class.
        document: The stored document.
        upgrades: The upgrades by the class's name; those that start at the document's form or later
            are applied.

    Raises:
        MalformedError: The member `format` is missing or is not an integer of at least 1.
        NewerFormatError: A newer release stored the document.
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
