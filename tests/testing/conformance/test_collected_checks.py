"""Tests of the kit's pytest functions on servers that are right, wrong, down or lost once."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, cast

import attrs
import pytest

from curae_lifecycle.testing.conformance import (
    CHECKS,
    ApiKeyRequest,
    AsyncServer,
    Request,
    Response,
    Server,
    async_conformance_tests,
    checks,
    conformance_tests,
    run,
)
from curae_lifecycle.testing.conformance.pytest_plugin import AnyServer, collect_checks
from tests.support.eighth import EIGHT
from tests.support.kit import Forgetful, Reference, asynchronous

ROUTE, WRONG, ENVIRONMENT = (
    "request.route",
    "recovery.revoked.pending",
    "permission.wrong-environment",
)
"""A check that a forgetful server passes, one that it fails, and one that needs a hook."""

HERE = Path(__file__)
BY_NAME = {each.name: each for each in CHECKS}


@contextmanager
def in_context(server: Server) -> Iterator[Server]:
    yield server


@asynccontextmanager
async def in_async_context(server: Server) -> AsyncIterator[AsyncServer]:
    yield asynchronous(server)


Wrap = Callable[[Server], AnyServer]

WRAPPERS: dict[str, Wrap] = {
    "server": lambda server: server,
    "async server": asynchronous,
    "context": in_context,
    "async context": in_async_context,
}
"""The kinds of servers that a test may make, around a server."""

of_each_kind = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


class AnyTest(Protocol):
    """A test function with named arguments."""

    def __call__(self, **arguments: object) -> object: ...


def outcome(test: AnyTest, **arguments: object) -> str:
    """Run a test function, and return how it ended with the first line of its message."""
    try:
        test(**arguments)
    except pytest.fail.Exception as error:
        first, *_ = str(error).splitlines()
        return f"failed with a traceback: {first}" if error.pytrace else f"failed: {first}"
    except pytest.skip.Exception as error:
        return f"skipped: {error}"
    return "passed"


def collected(
    request: pytest.FixtureRequest, server: Callable[[], AnyServer] | str
) -> dict[str, pytest.Function]:
    """Return the tests that the plugin collects, by name."""
    file = collect_checks(__file__, server)(HERE, request.session)
    assert file is not None
    assert (file.path, file.parent) == (HERE, request.session)
    found = {}
    for each in file.collect():
        assert isinstance(each, pytest.Function)
        assert each.parent is file
        found[each.name] = each
    return found


def test_kit_checks_are_collected_for_the_given_conftest_only(
    request: pytest.FixtureRequest,
) -> None:
    assert list(collected(request, Reference().server)) == [each.name for each in CHECKS]
    collect = collect_checks(__file__, Reference().server)
    assert collect(HERE.parent / "other.py", request.session) is None


@of_each_kind
def test_collected_kit_check_passes_fails_or_is_skipped(
    wrap: Wrap, request: pytest.FixtureRequest
) -> None:
    tests = collected(request, lambda: wrap(Forgetful().server()))
    assert outcome(tests[ROUTE].obj) == "passed"
    assert outcome(tests[WRONG].obj).startswith("failed: law 7 is broken")
    assert outcome(tests[ENVIRONMENT].obj) == "skipped: not run: needs environment"


def test_collected_test_gets_the_server_from_a_fixture(request: pytest.FixtureRequest) -> None:
    tests = collected(request, "my_server")
    assert list(inspect.signature(tests[ROUTE].obj).parameters) == ["my_server"]
    assert "my_server" in tests[ROUTE].fixturenames
    server = Forgetful().server()
    assert outcome(tests[ROUTE].obj, my_server=server) == "passed"
    assert outcome(tests[WRONG].obj, my_server=server).startswith("failed: law 7 is broken")


def refuse(request: Request) -> Response:
    raise ConnectionRefusedError(111, request.method)


DOWN = "the server is down: send raised ConnectionRefusedError(111, "


@pytest.mark.parametrize("convert", [lambda server: server, asynchronous])
def test_server_that_is_down_fails_one_test_and_skips_the_rest(
    convert: Callable[[Server], Server | AsyncServer], request: pytest.FixtureRequest
) -> None:
    tests = collected(request, "server")
    broken = convert(attrs.evolve(Reference().server(), send=refuse))
    right = convert(Reference().server())
    assert outcome(tests[ROUTE].obj, server=right) == "passed"
    assert outcome(tests[WRONG].obj, server=broken).startswith(f"failed: {DOWN}")
    assert outcome(tests[ROUTE].obj, server=broken) == (
        f"skipped: not run: the server was down since {WRONG}"
    )
    assert outcome(tests[ROUTE].obj, server=right) == "passed"


@of_each_kind
def test_http_connection_refused_once_fails_one_collected_test(
    wrap: Wrap, request: pytest.FixtureRequest
) -> None:
    reference, lost = Reference(), list[Request]()

    def send(sent: Request) -> Response:
        if not lost:
            lost.append(sent)
            refuse(sent)
        return reference.send(sent)

    server = attrs.evolve(reference.server(), send=send)
    tests = collected(request, lambda: wrap(server))
    assert outcome(tests[WRONG].obj).startswith("failed: send raised ConnectionRefusedError(111, ")
    assert outcome(tests[WRONG].obj) == "passed"


def apps_of(run: Callable[[Server], object]) -> list[str]:
    """Run a check twice on one server, and return the ids of the apps that it made."""
    reference, seen = Reference(), list[str]()

    def make_key(wanted: ApiKeyRequest) -> str:
        seen.append(wanted.app_id)
        return reference.make_key(wanted)

    server = attrs.evolve(reference.server(), make_key=make_key)
    for _ in range(2):
        run(server)
    return seen


@of_each_kind
def test_collected_test_uses_new_app_names_in_each_run(
    wrap: Wrap, request: pytest.FixtureRequest
) -> None:
    made: list[Server] = []
    test = collected(request, lambda: wrap(made[-1]))[ROUTE].obj

    def run(server: Server) -> None:
        made.append(server)
        test()

    seen = apps_of(run)
    assert len(seen) == len(set(seen)) >= 2


@pytest.mark.parametrize("is_async", [False, True])
def test_pytest_function_uses_new_app_names_in_each_run(*, is_async: bool) -> None:
    def run(server: Server) -> None:
        if is_async:
            async_conformance_tests(lambda: asynchronous(server))(BY_NAME[ROUTE])
        else:
            conformance_tests(lambda: server)(BY_NAME[ROUTE])

    seen = apps_of(run)
    assert len(seen) == len(set(seen)) >= 2


@pytest.mark.parametrize(
    "make", [lambda: Forgetful().server(), lambda: in_context(Forgetful().server())]
)
def test_pytest_function_has_the_outcome_of_its_check(make: Callable[[], Server]) -> None:
    test = conformance_tests(make)
    assert outcome(cast("AnyTest", test), check=BY_NAME[ROUTE]) == "passed"
    assert outcome(cast("AnyTest", test), check=BY_NAME[WRONG]).startswith(
        "failed: law 7 is broken"
    )
    assert (
        outcome(cast("AnyTest", test), check=BY_NAME[ENVIRONMENT])
        == "skipped: not run: needs environment"
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: asynchronous(Forgetful().server()),
        lambda: in_async_context(Forgetful().server()),
    ],
)
def test_async_pytest_function_has_the_outcome_of_its_check(
    make: Callable[[], AsyncServer],
) -> None:
    test = async_conformance_tests(make)
    assert outcome(cast("AnyTest", test), check=BY_NAME[ROUTE]) == "passed"
    assert outcome(cast("AnyTest", test), check=BY_NAME[WRONG]).startswith(
        "failed: law 7 is broken"
    )
    assert (
        outcome(cast("AnyTest", test), check=BY_NAME[ENVIRONMENT])
        == "skipped: not run: needs environment"
    )


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("is_collected", [False, True])
def test_failed_check_prints_a_seed_that_repeats_its_app_names(
    *, is_collected: bool, is_async: bool, request: pytest.FixtureRequest
) -> None:
    printed: list[str] = []

    def run_wrong(server: Server) -> None:
        server = attrs.evolve(server, send=lambda _: Response(404, (), b""))
        if is_collected:
            made = asynchronous(server) if is_async else server
            test = collected(request, lambda: made)[WRONG].obj
        elif is_async:
            test = partial(async_conformance_tests(lambda: asynchronous(server)), BY_NAME[WRONG])
        else:
            test = partial(conformance_tests(lambda: server), BY_NAME[WRONG])
        with pytest.raises(pytest.fail.Exception) as failed:
            test()
        printed.append(str(failed.value))

    first, second = apps_of(run_wrong)
    for text, app in zip(printed, (first, second), strict=True):
        found = re.search(rf"to repeat it: run\(server, only=\['{WRONG}'\], seed='(\w+)'\)$", text)
        assert found is not None
        repeat = partial(run, only=[WRONG], seed=found[1])
        assert app in apps_of(repeat)


def test_pytest_functions_are_parametrized_with_every_check() -> None:
    make = Reference().server
    for test, kit in (
        (conformance_tests(make), CHECKS),
        (conformance_tests(make, operations=EIGHT), checks(EIGHT)),
        (async_conformance_tests(lambda: asynchronous(make())), CHECKS),
        (
            async_conformance_tests(lambda: asynchronous(make()), operations=EIGHT),
            checks(EIGHT),
        ),
    ):
        (mark,) = vars(test)["pytestmark"]
        names = [each.name for each in kit]
        assert mark.args[0] == "check"
        assert [each.name for each in mark.args[1]] == names
        assert mark.kwargs == {"ids": names}
