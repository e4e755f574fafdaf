"""Total tables: finite rules as data that checks itself.

The law of this module: **a table decides every cell of its axes, once**. A `Table` with a
missing cell, a doubled cell, a cell outside its axes or a doubled rule name cannot be built,
and since every table is built when its module is imported, a package that imports is total.

A table is a mapping from cells to rows: `TRIGGERS[Trigger.REVOKE, Standing.ACTIVE]`, or
`REVOCATION_REACH[Actor.APP]` for a table with one axis. A row is one rule: the cells it covers, its
outcome, and one sentence of why. A released name never changes its meaning. Functions look rows up,
and every decision carries the names of the rows that made it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from functools import partial
from itertools import product
from typing import Final, Generic, NoReturn, Self, TypeVar, cast

import attrs

from curae_lifecycle.rules.errors import LifecycleError

Key = TypeVar("Key", bound="str | tuple[StrEnum, ...]", covariant=True)
Outcome = TypeVar("Outcome", covariant=True)


class Wildcard(StrEnum):
    """The type of `ANY`, which covers every value of an axis in the key of a `Row`."""

    ANY = "any"


ANY: Final = Wildcard.ANY
"""In a row's key: every value of that axis."""


class TableError(LifecycleError, ValueError):
    """The error of a malformed table of rules, or of a mapping that lacks an entry for a key.

    `Table` and `check_keys` raise it when a module is imported. For example, a cell of a table has
    no rule or two rules, or a problem code has no text.

    Attributes:
        table: The name of the table or mapping.
        fault: The fault, in words.
        cells: The cells, rules, axes or missing keys at fault.
    """

    def __init__(self, table: str, fault: str, cells: tuple[str, ...]) -> None:
        super().__init__(table, fault, cells)
        self.table = table
        self.fault = fault
        self.cells = cells

    def __str__(self) -> str:
        return f"table {self.table!r}: {self.fault}: {', '.join(self.cells)}"


@attrs.frozen
class Axis:
    """One dimension of a table: `name`, and all `values` in the order in which they are printed."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, name: str, values: Iterable[StrEnum]) -> Axis:
        """Return an axis (an input of a table) whose values are members of an enumeration.

        Args:
            name: The name of the axis.
            values: The members, in printed order.
        """
        return cls(name, tuple(values))


def _own_trail(row: Row[object]) -> tuple[str, ...]:
    return (row.rule,)


@attrs.frozen
class Row(Generic[Outcome]):
    """One rule of a table: the cells that it covers and their common outcome.

    Attributes:
        key: One value for each axis, a bare value if there is one axis; `ANY` covers a whole axis.
        outcome: The decision for these cells, such as a `RefuseWith`: refuse with a problem.
        why: One sentence, with the source of the rule: [S] the platform's reference, [P] the
            platform's public pages, [O] ours.
        name: The name within the table; if it is empty, the words of `key` make the name.
        rule: The full name, stable across releases and unique in the package; the table sets it.
        rules: The tuple `(rule,)`: the names to report for a decision that this row alone makes.
    """

    key: str | tuple[str, ...]
    outcome: Outcome
    why: str
    name: str = ""
    rule: str = attrs.field(default="", kw_only=True)
    rules: tuple[str, ...] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(_own_trail, takes_self=True)
    )

    @property
    def parts(self) -> tuple[str, ...]:
        """The key as a tuple of one value or `ANY` for each axis, even if `key` is a bare value."""
        return self.key if isinstance(self.key, tuple) else (self.key,)


def _read_only(*_: object, **__: object) -> NoReturn:
    """Raise `TypeError`: a table is never changed."""
    raise TypeError("a Table is read-only")


class Table(  # type: ignore[type-var]  # never written, so it may be covariant
    dict[Key, Row[Outcome]],  # pyright: ignore[reportInvalidTypeArguments] - the same
    Generic[Key, Outcome],
):
    """A total mapping from cells to rows: a cell is one combination of the values of all axes.

    Attributes:
        name: The table's name, as `python -m curae_lifecycle tables NAME` takes it.
        law: One sentence that says what the table decides; not a numbered law of the rules.
        axes: The table's dimensions.
        rows: The table's rules, in the order in which they are printed.
        state: The name of the axis that `MoveTo` outcomes (moves to another state) change, for a
            state diagram; `None` if the outcomes change none.
    """

    __slots__ = ("_prefix", "axes", "law", "name", "rows", "state")

    def __init__(
        self,
        name: str,
        law: str,
        axes: Axis | tuple[Axis, ...],
        *rows: Row[Outcome],
        prefix: str = "",
        state: str | None = None,
    ) -> None:
        """Build the table.

        If there is one axis, the keys of the rows are bare values instead of tuples.

        Args:
            name: The table's name.
            law: One sentence that says what the table decides.
            axes: The table's dimensions.
            *rows: The table's rules, in the order in which they are printed.
            prefix: The beginning of each rule's name; if it is empty, the table's name.
            state: The name of the axis that `MoveTo` outcomes (moves to another state) change, for
                a state diagram; `None` if the outcomes change none.

        Raises:
            TableError: A cell is missing, decided twice or outside the axes; an axis is empty or
                has a value twice; a rule has no name, the name of another rule or no `why`; or
                `state` names no axis.
        """
        self.name: Final = name
        self.law: Final = law
        self.axes: Final = axes if isinstance(axes, tuple) else (axes,)
        self._prefix: Final = prefix or name
        self.rows: Final = tuple(
            attrs.evolve(row, rule=f"{self._prefix}.{row.name or _name_of(row)}") for row in rows
        )
        self.state: Final = state
        super().__init__(cast("dict[Key, Row[Outcome]]", _cells(name, self.axes, self.rows)))
        if state is not None and state not in {axis.name for axis in self.axes}:
            raise TableError(name, "its state is none of its axes", (state,))

    __setitem__ = __delitem__ = __ior__ = __delattr__ = _read_only
    update = pop = popitem = clear = setdefault = _read_only

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, name):
            _read_only()
        super().__setattr__(name, value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        # A pickled dict is loaded cell by cell, and a table is read-only: it is built again.
        build = partial(type(self), prefix=self._prefix, state=self.state)
        return build, (self.name, self.law, self.axes, *self.rows)

    def cells(self) -> Iterable[tuple[tuple[str, ...], Row[Outcome]]]:
        """Yield the key and row of every cell, in the order of the axes; each key is a tuple."""
        for key, row in self.items():
            yield (key if isinstance(key, tuple) else (key,)), row

    def __repr__(self) -> str:
        return f"<Table {self.name}: {len(self)} cells, {len(self.rows)} rules>"


AnyTable = Table[str | tuple[StrEnum, ...], object]
"""The type of a table with any axes and outcomes, for code that only reads tables."""


def check_keys(name: str, entries: Collection[str], keys: Iterable[str]) -> None:
    """Check that a mapping has an entry for every key.

    Call `check_keys` when a module is imported, so that a forgotten entry fails there.

    Args:
        name: The name of the mapping, for the error.
        entries: The mapping, or its keys.
        keys: The keys that `entries` must hold.

    Raises:
        TableError: A key has no entry.
    """
    missing = tuple(str(key) for key in keys if key not in entries)
    if missing:
        raise TableError(name, "no entry", missing)


def _cells(
    name: str, axes: tuple[Axis, ...], rows: tuple[Row[Outcome], ...]
) -> dict[str | tuple[str, ...], Row[Outcome]]:
    for axis in axes:
        if not axis.values or len(set(axis.values)) < len(axis.values):
            raise TableError(name, "an axis is empty or has a value twice", (axis.name,))
    every = list(product(*(axis.values for axis in axes)))
    cells: dict[tuple[str, ...], Row[Outcome]] = {}
    names = [row.rule for row in rows]
    for row in rows:
        if names.count(row.rule) > 1:
            raise TableError(name, "a rule name is used twice", (row.rule,))
        if row.rule.rstrip().endswith(".") or not row.why.strip():
            raise TableError(name, "a rule has no name or does not say why", (row.rule,))
        covered = _covered(axes, row.parts)
        if not covered:
            raise TableError(name, "a rule covers no cell of the axes", (row.rule,))
        doubled = tuple(_show(key) for key in covered if key in cells)
        if doubled:
            raise TableError(name, f"rule {row.rule} decides a cell again", doubled)
        cells.update(dict.fromkeys(covered, row))
    missing = tuple(_show(key) for key in every if key not in cells)
    if missing:
        raise TableError(name, "no rule decides a cell", missing)
    return {key[0] if len(axes) == 1 else key: cells[key] for key in every}


def _covered(axes: tuple[Axis, ...], pattern: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the cells that a rule's key covers, in the order of the axes."""
    if len(pattern) != len(axes):
        return []
    # Compare the type too: members of two StrEnums with the same text are equal.
    parts = (
        axis.values
        if part is ANY
        else [value for value in axis.values if type(value) is type(part) and value == part]
        for axis, part in zip(axes, pattern, strict=True)
    )
    return list(product(*parts))


def _name_of(row: Row[object]) -> str:
    words = [
        part.name if isinstance(part, StrEnum) else part for part in row.parts if part is not ANY
    ]
    return ".".join(str(word).lower().replace("_", "-") for word in words)


def _show(key: tuple[str, ...]) -> str:
    return " × ".join(key)
