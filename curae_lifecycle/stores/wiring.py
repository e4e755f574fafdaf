"""Checks of how the parts of a server are put together, which run when the server starts.

The law of this module: **a wiring mistake raises an `ArgumentError` that says what to pass**.

A function counts as async if it is a coroutine function or its annotation says that it returns an
awaitable. A lambda, a decorated function and an object with `__call__` may be either.
"""

from __future__ import annotations

import inspect
from functools import lru_cache, partial
from types import FunctionType
from typing import Final

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import check_type
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.web.request import Request

STORE_METHODS: Final = ("caller_of", "load", "commit")
"""The names of the methods that a `Store` and an `AsyncStore` must have."""

DATABASE_METHODS: Final = ("rows", "run_ddl", "run_transaction")
"""The names of the methods that a `Database` and an `AsyncDatabase` must have.

A `Database` runs the statements of a `SqlStore`, and an `AsyncDatabase` those of an
`AsyncSqlStore`.
"""

_ID_FACTORY: Final = (
    'a function that takes an instant and returns NewIds, such as RandomIds("https://…/")'
)
_AWAITABLES: Final = ("Awaitable", "Coroutine", "Future", "Task")


def check_store(store: object, instead: str) -> None:
    """Check that `store` is a blocking store.

    Args:
        store: The value that was passed as a store.
        instead: The name of the function or class that takes an async store, for the error.

    Raises:
        ArgumentError: `store` is an async store, or no store.
    """
    _check_blocking("store", store, STORE_METHODS, fix=f"so use {instead}")


def check_async_store(store: object, instead: str) -> None:
    """Check that `store` is an async store.

    Args:
        store: The value that was passed as a store.
        instead: The name of the function or class that takes a blocking store, for the error.

    Raises:
        ArgumentError: `store` is a blocking store, or no store.
    """
    _check_async("store", store, STORE_METHODS, fix=f"so use {instead}")


def check_database(database: object, instead: str) -> None:
    """Check that `database` is a blocking database, which runs the statements of a `SqlStore`.

    Args:
        database: The value that was passed as a database.
        instead: The name of the class that takes an async database, for the error.

    Raises:
        ArgumentError: `database` is an async database, or no database.
    """
    _check_blocking("database", database, DATABASE_METHODS, fix=f"so use {instead}")


def check_async_database(database: object, instead: str) -> None:
    """Check that `database` is an async database, which runs the statements of an `AsyncSqlStore`.

    Args:
        database: The value that was passed as a database.
        instead: The name of the class that takes a blocking database, for the error.

    Raises:
        ArgumentError: `database` is a blocking database, or no database.
    """
    fix = f"so use {instead}, or wrap it in a ThreadedDatabase"
    _check_async("database", database, DATABASE_METHODS, fix=fix)


def check_store_kind(store: object, instead: str, *, is_async: bool) -> None:
    """Check that a store is of the needed kind, async or blocking.

    The check runs for every request, so it is cheap: only the method `load` of the store's class is
    looked at, and the result is cached for each class. A store whose class has no `load` is checked
    in full, since it may forward its calls to another store.

    Args:
        store: The store.
        instead: The name of the function that takes the other kind of store, for the error.
        is_async: Whether an async store is needed.

    Raises:
        ArgumentError: The store is of the other kind, or is no store.
    """
    if _needs_full_check(type(store), is_async):  # type: ignore[arg-type]  # a class is hashable
        check = check_async_store if is_async else check_store
        check(store, instead)


def check_id_factory(id_factory: object) -> None:
    """Check that `id_factory` is a function that is not async.

    `serve` calls the function for the new ids of a request.

    Raises:
        ArgumentError: `id_factory` is a class or a coroutine function, or cannot be called.
    """
    check_function("id_factory", id_factory, _ID_FACTORY)


def check_serve_arguments(request: object, id_factory: object, settings: object) -> None:
    """Check the arguments of `serve` and its variants, such as `serve_async`, for every request.

    Args:
        request: The request.
        id_factory: The function that makes the ids; whether it is async is not looked at.
        settings: The settings of the server.

    Raises:
        ArgumentError: An argument is of another type, such as `None`.
    """
    check_type("request", request, Request, allowed="a Request of this library")
    check_type("settings", settings, Settings, allowed="Settings, such as Settings()")
    _check_callable("id_factory", id_factory, _ID_FACTORY)


def check_function(argument: str, value: object, wanted: str) -> None:
    """Check that a value can be called and is not a coroutine function.

    Args:
        argument: The name of the argument, for the error.
        value: The value to check.
        wanted: The function that is needed, in words that continue "must be".

    Raises:
        ArgumentError: The value cannot be called, or is a class or a coroutine function.
    """
    _check_callable(argument, value, wanted)
    if inspect.iscoroutinefunction(value):
        raise ArgumentError(argument, f"{wanted}: this one is async")


def check_async_function(argument: str, value: object, wanted: str) -> None:
    """Check that a value can be called and is not a blocking function.

    Args:
        argument: The name of the argument, for the error.
        value: The value to check.
        wanted: The function that is needed, in words that continue "must be".

    Raises:
        ArgumentError: The value cannot be called, or is a class or a blocking function.
    """
    _check_callable(argument, value, wanted)
    if _is_blocking(value):
        raise ArgumentError(argument, f"{wanted}: this one is not async")


def check_count(argument: str, count: int, least: int) -> None:
    """Check that a count is an integer of at least `least`. A boolean fails the check.

    Args:
        argument: The name of the argument, for the error.
        count: The count to check.
        least: The smallest allowed count.

    Raises:
        ArgumentError: The count is smaller, or no integer.
    """
    allowed = f"an integer of at least {least}"
    check_type(argument, count, int, allowed=allowed)
    if isinstance(count, bool) or count < least:
        raise ArgumentError(argument, allowed, str(count))


def is_engine(value: object) -> bool:
    """Return True for a blocking engine of SQLAlchemy; SQLAlchemy need not be installed.

    `check_store` asks this: its error for an engine says to pass `SqlStore(SqlDatabase(engine))`.
    """
    return hasattr(value, "raw_connection") and not is_async_engine(value)


def is_async_engine(value: object) -> bool:
    """Return True for an async engine: one of this library's or one of SQLAlchemy's.

    `stores.sql.engine_factory.create_engine_async` makes this library's.
    """
    return inspect.iscoroutinefunction(getattr(value, "dispose", None))


# --- What is wrong --------------------------------------------------------------------------


def _check_no_class(argument: str, value: object, wanted: str) -> None:
    if isinstance(value, type):
        raise ArgumentError(argument, f"{wanted}: {value.__name__} is a class, so call it")


def _check_callable(argument: str, value: object, wanted: str) -> None:
    _check_no_class(argument, value, wanted)
    if not callable(value):
        raise ArgumentError(argument, f"{wanted}: {type(value).__name__} cannot be called")


def _check_methods(argument: str, value: object, methods: tuple[str, ...]) -> None:
    wanted = f"a {argument}"
    _check_no_class(argument, value, wanted)
    missing = [name for name in methods if not callable(getattr(value, name, None))]
    if missing:
        fix = _conversion(argument, value)
        if fix is None:
            fix = f"{type(value).__name__} has no method {' and no '.join(missing)}"
        raise ArgumentError(argument, f"{wanted}: {fix}")


def _conversion(argument: str, value: object) -> str | None:
    # Returns the expression that makes a store or a database of this value, or None.
    if is_engine(value):
        database = "SqlDatabase(engine)"
    elif is_async_engine(value):
        database = "AsyncSqlDatabase(engine)"
    elif isinstance(value, str):
        database = "SqlDatabase(create_engine(url))"
    elif all(hasattr(value, name) for name in DATABASE_METHODS):
        database = "database"
    else:
        return None
    if argument == "database":
        return f"pass {database}"
    kind = "AsyncSqlStore" if _is_async_database(value) else "SqlStore"
    return f"pass {kind}({database})"


def _is_async_database(value: object) -> bool:
    return is_async_engine(value) or inspect.iscoroutinefunction(getattr(value, "rows", None))


def _check_blocking(argument: str, value: object, methods: tuple[str, ...], fix: str) -> None:
    _check_methods(argument, value, methods)
    for name in methods:
        if inspect.iscoroutinefunction(getattr(value, name)):
            method = f"{type(value).__name__}.{name}"
            raise ArgumentError(argument, f"a blocking {argument}: {method} is async, {fix}")


def _check_async(argument: str, value: object, methods: tuple[str, ...], fix: str) -> None:
    _check_methods(argument, value, methods)
    for name in methods:
        if _is_blocking(getattr(value, name)):
            method = f"{type(value).__name__}.{name}"
            raise ArgumentError(argument, f"an async {argument}: {method} is not async, {fix}")


@lru_cache(maxsize=64)
def _needs_full_check(kind: type[object], is_async: bool) -> bool:  # noqa: FBT001 - `lru_cache` is faster so
    load = getattr(kind, "load", None)
    if load is None:
        return True
    return _is_blocking(load) if is_async else inspect.iscoroutinefunction(load)


def _is_blocking(function: object) -> bool:
    while isinstance(function, partial):
        function = function.func
    function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType) or inspect.iscoroutinefunction(function):
        return False
    if function.__name__ == "<lambda>" or hasattr(function, "__wrapped__"):
        # A lambda may return the result of an async function, and so may a decorated function.
        return False
    returned = str(function.__annotations__.get("return"))
    return not any(word in returned for word in _AWAITABLES)
