"""The exception family: attributes, messages, pickle and copy."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import curae_lifecycle
from curae_lifecycle.cli.release import UnreadableError
from curae_lifecycle.replay.log import BrokenLineError
from curae_lifecycle.rules.errors import ArgumentError, LifecycleError
from curae_lifecycle.rules.merge import MergeError
from curae_lifecycle.rules.problems import Fault
from curae_lifecycle.rules.ratelimit import CostError
from curae_lifecycle.rules.tables import TableError
from curae_lifecycle.rules.values import CustomerAccountId, Environment
from curae_lifecycle.stores.contract import (
    StoreFullError,
    StoreUnavailableError,
    StoreUnchangedError,
)
from curae_lifecycle.stores.formats import NewerFormatError
from curae_lifecycle.testing.conformance.failures import ServerRaisedError
from curae_lifecycle.testing.conformance.steps import NotConformingError, NotSeenError
from curae_lifecycle.testing.conformance.timeout import CheckTimeoutError
from curae_lifecycle.testing.laws import LawBrokenError
from curae_lifecycle.testing.races.scenarios import CommitRefusedError
from curae_lifecycle.testing.simulation.summary import RuleBrokenError
from curae_lifecycle.web.json import MalformedError
from tests.support.specimens import NEXT_ID, OLD_ID


def test_argument_error_names_argument_and_allowed_value() -> None:
    error = ArgumentError("cost", "at least 1")
    assert (error.argument, error.allowed) == ("cost", "at least 1")
    assert str(error) == "cost: must be at least 1"


ERRORS = [
    ArgumentError("cost", "at least 1"),
    ArgumentError("cost", "at least 1", "a str"),
    BrokenLineError("its time runs backwards"),
    CostError("initiate", 11, 10),
    LawBrokenError(7, "two successors", "connection 1"),
    LifecycleError("anything"),
    MalformedError("appUserId", Fault.NULL),
    MalformedError(None, Fault.NOT_JSON),
    MergeError(OLD_ID, NEXT_ID),
    CommitRefusedError(),
    NewerFormatError("Record", 3, 2),
    NotConformingError("200 where the rules say 201"),
    NotSeenError("the server sends no Date"),
    RuleBrokenError("message 1 shipped twice", "the outbox"),
    CheckTimeoutError("it took longer"),
    ServerRaisedError("it raised"),
    StoreUnavailableError("the connection was lost"),
    StoreUnchangedError("a lock was not free in time"),
    StoreFullError(
        kind="Connection",
        capacity=10,
        environment=Environment.LIVE,
        customer_account_id=CustomerAccountId("account-1"),
    ),
    TableError("light", "no rule decides a cell", ("red", "green")),
    UnreadableError("it is not JSON"),
]
"""At least one specimen of each class; a test below finds any that is missing."""


def classes() -> Iterator[type[BaseException]]:
    """Yield every exception class that a module of the package defines."""
    for module in pkgutil.walk_packages(curae_lifecycle.__path__, "curae_lifecycle."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, BaseException)
                and value.__module__ == module.name
            ):
                yield value


def test_every_error_but_two_internal_ones_is_a_lifecycle_error() -> None:
    found = set(classes())
    others = {each for each in found if not issubclass(each, LifecycleError)}
    # One ends a command whose output pipe is closed, and one a simulated worker. Both must pass code
    # that catches exceptions.
    assert {each.__name__ for each in others} == {"ReaderGoneError", "_DiedError"}
    assert found - others == {type(error) for error in ERRORS}


def pickled(error: LifecycleError, protocol: int) -> object:
    again: object = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - the bytes are from this test
    return again


COPIES: dict[str, Callable[[LifecycleError], object]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle protocol {protocol}": partial(pickled, protocol=protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("how", COPIES)
def test_exception_survives_pickle_and_copy(error: LifecycleError, how: str) -> None:
    again = COPIES[how](error)
    assert type(again) is type(error)
    assert isinstance(again, LifecycleError)
    assert again is not error
    assert again.args == error.args
    assert vars(again) == vars(error)
    assert (str(again), repr(again)) == (str(error), repr(error))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_exception_attributes_hold_its_arguments(error: LifecycleError) -> None:
    assert type(error)(*error.args).args == error.args
    plain = {LifecycleError, NotSeenError, CheckTimeoutError, ServerRaisedError}
    assert type(error) in plain or set(error.args) <= set(vars(error).values())


def test_exceptions_derive_from_value_runtime_or_assertion_error() -> None:
    assert issubclass(ArgumentError, ValueError)
    assert issubclass(StoreFullError, RuntimeError)
    for seen in (LawBrokenError, NotConformingError, ServerRaisedError):
        assert issubclass(seen, AssertionError)
