"""Type hints of public functions and classes, which pydantic, FastAPI and others read."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Final, get_type_hints

import pytest

import curae_lifecycle

NOT_ALWAYS_INSTALLED: Final = "names a class of an extra that the module must not import"
OF_PSYCOPG: Final = "inherits or names annotations of psycopg's that cannot be read"
OF_ATTRS: Final = "attrs.Attribute takes type arguments only in its stub"
INHERITED: Final = (
    "attrs copies the annotations of inherited fields as text; those of the class work"
)
EXCEPTIONS: Final = {
    "cli.database.open_database": NOT_ALWAYS_INSTALLED,
    "service.facts.revoked_batch.RevokedBatch.__init__": INHERITED,
    "stores.sql.async_drivers.PsycopgConnection": NOT_ALWAYS_INSTALLED,
    "stores.sql.async_drivers.PsycopgConnection.__init__": NOT_ALWAYS_INSTALLED,
    "stores.sql.drivers.socket_of": NOT_ALWAYS_INSTALLED,
    "stores.sql.postgresql.AsyncBoundedConnection": OF_PSYCOPG,
    "stores.sql.postgresql.AsyncBoundedConnection.wait": OF_PSYCOPG,
    "stores.sql.postgresql.BoundedConnection": OF_PSYCOPG,
    "stores.sql.postgresql.BoundedConnection.wait": OF_PSYCOPG,
    "stores.sql.postgresql.wait_without_cancel": OF_PSYCOPG,
    "testing.factories.fields_of": OF_ATTRS,
}
"""Public names whose hints cannot be read, each with the reason."""


def is_public(name: str) -> bool:
    return not name.startswith("_") or name in {"__init__", "__call__"}


def functions_of(kind: type) -> Iterator[tuple[str, object]]:
    """Yield the name and function of each public method and property of a class."""
    for name, member in vars(kind).items():
        match member:
            case staticmethod() | classmethod():
                function: object = member.__func__
            case property():
                function = member.fget
            case _:
                # A cached property has its function as `func`.
                function = getattr(member, "func", member)
        if is_public(name) and inspect.isfunction(function):
            yield name, function


def annotated(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield the name and value of each public function, class and method of a module."""
    for name, value in vars(module).items():
        if not is_public(name) or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            yield name, value
            yield from ((f"{name}.{part}", function) for part, function in functions_of(value))
        elif inspect.isroutine(value):
            yield name, value


def everything() -> Iterator[tuple[str, object]]:
    """Yield the name and value of each public function, class and method of the package."""
    for found in pkgutil.walk_packages(curae_lifecycle.__path__, "curae_lifecycle."):
        if not found.name.endswith("__main__"):
            place = found.name.removeprefix("curae_lifecycle.")
            module = importlib.import_module(found.name)
            yield from ((f"{place}.{name}", value) for name, value in annotated(module))


def has_readable_hints(value: object) -> bool:
    try:
        get_type_hints(value)
    except (NameError, TypeError):
        return False
    return True


@pytest.mark.slow
def test_type_hints_resolve_for_all_public_names_but_listed_ones() -> None:
    found = dict(everything())
    unreadable = {name for name, value in found.items() if not has_readable_hints(value)}
    # Other releases of psycopg and attrs may have readable ones.
    assert unreadable <= EXCEPTIONS.keys()
    assert found.keys() >= {
        *EXCEPTIONS,
        "rules.chain.reconnect",
        "rules.tables.Table.cells",
        "service.facts.revoked.Revoked.__init__",
        "stores.sql.store.SqlStore.load",
        "testing.strategies.binding.bindings",
    }
