"""Every table of the package by name, and every rule by its own.

The law of this module: **the pages print the very objects that the functions look up**. A
table that is not listed here would be a rule that no reviewer sees; a test holds the list
against the modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import attrs

from curae_lifecycle.rules.access import ACCESS
from curae_lifecycle.rules.attempt import ATTEMPT, UPKEEP
from curae_lifecycle.rules.binding import BINDING, GRADUATION_HANDOFF
from curae_lifecycle.rules.chain import LIFE, RECOVERY, REVOCATION_REACH
from curae_lifecycle.rules.connection import DEADLINE, STANDING
from curae_lifecycle.rules.credentials import PERMISSION
from curae_lifecycle.rules.idempotency import BEGIN, RECORD_STANDING
from curae_lifecycle.rules.problems import CATALOGUE
from curae_lifecycle.rules.session import COMPLETION, PATHS
from curae_lifecycle.rules.tables import Axis, Row
from curae_lifecycle.rules.triggers import AUTHORIZATION, ENDING, EXPIRY_RECORD, TRIGGERS
from curae_lifecycle.rules.wire_status import STORED_STATUS, WIRE_STATUS
from curae_lifecycle.service.gates import ORDER
from curae_lifecycle.service.operations.registry import OPERATION_TABLE
from curae_lifecycle.service.status import PROBLEM_STATUS


class Page(Protocol):
    """What a table of any axes and outcomes can print."""

    @property
    def name(self) -> str:
        """The table's name."""
        ...

    @property
    def law(self) -> str:
        """What the table decides, in one sentence."""
        ...

    @property
    def state(self) -> str | None:
        """The axis that is a state, where the table moves one."""
        ...

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The dimensions."""
        ...

    @property
    def rows(self) -> tuple[Row[object], ...]:
        """The rules."""
        ...

    def cells(self) -> Iterable[tuple[tuple[str, ...], Row[object]]]:
        """Every cell with its row."""
        ...

    def __len__(self) -> int:
        """The number of cells."""
        ...

    def to_markdown(self) -> str:
        """The table as Markdown."""
        ...

    def to_mermaid(self) -> str:
        """The table as a diagram, where it moves a state."""
        ...

    def to_json(self) -> str:
        """The table as JSON."""
        ...


TABLES: Final[dict[str, Page]] = {
    table.name: table
    for table in (
        DEADLINE,
        STANDING,
        TRIGGERS,
        EXPIRY_RECORD,
        AUTHORIZATION,
        RECOVERY,
        REVOCATION_REACH,
        LIFE,
        ENDING,
        ACCESS,
        PATHS,
        BINDING,
        COMPLETION,
        GRADUATION_HANDOFF,
        RECORD_STANDING,
        BEGIN,
        ATTEMPT,
        UPKEEP,
        PERMISSION,
        ORDER,
        OPERATION_TABLE,
        CATALOGUE,
        PROBLEM_STATUS,
        WIRE_STATUS,
        STORED_STATUS,
    )
}
"""Every table, in the order of the pages."""


@attrs.frozen
class FoundRule:
    """A rule and the table it stands in."""

    table: Page
    row: Row[object]


def find_rule(name: str) -> FoundRule | None:
    """The rule of a trail, by its name; `None` for a name that no table has."""
    return next((FoundRule(table, row) for table, row in _rules() if row.rule == name), None)


def index(folder: str = "") -> str:
    """Every table in one line: its page, its size, and what it decides.

    Args:
        folder: Where the pages lie, seen from the page that shows the index.
    """
    lines = ["| table | cells | rules | decides |", "| --- | --- | --- | --- |"]
    lines += [
        f"| [{table.name}]({folder}{table.name}.md) | {len(table)} | {len(table.rows)} "
        f"| {table.law} |"
        for table in TABLES.values()
    ]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    texts = {f"{table.name}.md": table.to_markdown() for table in TABLES.values()}
    return {"README.md": _INDEX_HEAD + index()} | texts


_INDEX_HEAD: Final = """\
# Tables

Every rule of the package. These pages are printed from the objects that the functions look up:
`python -m curae_lifecycle tables --write docs/tables`.

"""


def _rules() -> Iterator[tuple[Page, Row[object]]]:
    return ((table, row) for table in TABLES.values() for row in table.rows)
