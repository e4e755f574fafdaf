"""Tests of what the runner gives to a check, and of what it makes of its results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import timedelta

import attrs
import pytest

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.testing.conformance import (
    CHECKS,
    ApiKeyRequest,
    Check,
    CheckOutcome,
    Failure,
    NotRun,
    NotSeenError,
    Progress,
    Request,
    Response,
    Server,
    run,
    run_async,
    runner,
    timeout,
)
from curae_lifecycle.testing.conformance.all_checks import select_checks
from curae_lifecycle.testing.conformance.client import App
from curae_lifecycle.testing.conformance.results import Result
from curae_lifecycle.testing.conformance.runner import run_check, run_check_async
from curae_lifecycle.testing.conformance.server import UNLIMITED_TIME
from curae_lifecycle.testing.conformance.steps import (
    HookCall,
    Names,
    NotConformingError,
    Steps,
    run_concurrently,
    send,
    use,
)
from tests.support.eighth import EIGHT
from tests.support.kit import Reference, asynchronous

SPAN = timedelta(seconds=7)
ROUTE = "request.route"

RunOne = Callable[[Server, Check, timedelta | None], Result]


def run_sync(server: Server, check: Check, limit: timedelta | None = None) -> Result:
    return run_check(server, check=check, seed="s", operations=EIGHT, timeout=limit)


def run_in_loop(server: Server, check: Check, limit: timedelta | None = None) -> Result:
    server_of_loop = attrs.evolve(
        asynchronous(server),
        max_time_per_check=server.max_time_per_check,
        varying_headers=server.varying_headers,
    )
    return asyncio.run(
        run_check_async(server_of_loop, check=check, seed="s", operations=EIGHT, timeout=limit)
    )


in_both_ways = pytest.mark.parametrize("run_one", [run_sync, run_in_loop])


def reads(app: App) -> Steps[None]:
    yield from send(app.account_state("u"))


READ = Check("a.b", "It reads.", reads)


def context_seen(run_one: RunOne, server: Server) -> App:
    seen: list[App] = []

    def look(app: App) -> Steps[None]:
        seen.append(app)
        yield from reads(app)

    assert run_one(server, Check("a.b", "It looks.", look), None) is None
    return seen[0]


@in_both_ways
def test_kit_check_gets_the_settings_of_its_server(run_one: RunOne) -> None:
    full = Reference().server()
    server = attrs.evolve(
        Server(full.send, full.make_key, pass_time=full.pass_time),
        race_rounds=3,
        environment=Environment.TEST,
        max_time_per_check=SPAN,
        varying_headers=frozenset({"x-id"}),
    )
    app = context_seen(run_one, server)
    kit = app.context
    assert (kit.environment, kit.rounds, kit.seed) == (Environment.TEST, 3, "s")
    assert (kit.max_time_per_check, kit.varying) == (SPAN, frozenset({"x-id"}))
    assert kit.hooks == {"pass_time", "race_rounds", "environment"}
    assert kit.operations == EIGHT
    assert app.key_request.app_id == Names("s a.b").word("app")


@in_both_ways
def test_kit_check_gets_default_settings_from_a_minimal_server(run_one: RunOne) -> None:
    full = Reference().server()
    kit = context_seen(run_one, Server(full.send, full.make_key)).context
    assert (kit.environment, kit.rounds, kit.hooks) == (Environment.LIVE, 0, frozenset())
    assert (kit.max_time_per_check, kit.varying) == (UNLIMITED_TIME, frozenset())


@pytest.mark.parametrize("names", [{"X-Id", "x-hop"}, ["x-id", "X-Hop"]])
@in_both_ways
def test_varying_headers_argument_accepts_names_in_capitals(
    run_one: RunOne, names: Iterable[str]
) -> None:
    full = Reference().server()
    server = Server(full.send, full.make_key, varying_headers=names)
    assert context_seen(run_one, server).context.varying == {"x-id", "x-hop"}


@in_both_ways
def test_race_rounds_setting_of_1_counts_as_an_available_hook(run_one: RunOne) -> None:
    server = attrs.evolve(Reference().server(), race_rounds=1)
    kit = context_seen(run_one, server).context
    assert kit.rounds == 1
    assert "race_rounds" in kit.hooks


def test_check_timed_out_before_its_first_step_shows_no_step() -> None:
    begun = runner._begin(
        Reference().server(), check=READ, seed="s", operations=OPERATIONS, timeout=SPAN
    )
    assert isinstance(begun, runner._CheckRun)
    failure = begun.time_out()
    assert isinstance(failure, Failure)
    assert failure.message.splitlines() == [
        "the check took longer than 0:00:07",
        "  check: a.b: It reads.",
    ]
    assert begun.next(None) is None


@in_both_ways
def test_kit_check_is_not_run_and_names_the_hooks_it_lacks(run_one: RunOne) -> None:
    full = Reference().server()
    server = Server(full.send, full.make_key, purge=full.purge)
    check = attrs.evolve(READ, hooks=("finish", "purge", "race_rounds"))
    assert run_one(server, check, None) == NotRun("a.b", "needs finish, race_rounds")


@in_both_ways
@pytest.mark.parametrize(
    ("needed", "result"),
    [
        (SPAN, None),
        (2 * SPAN, NotRun("a.b", "needs a max_time_per_check of 0:00:14")),
    ],
)
def test_kit_check_runs_if_it_needs_at_most_max_time_per_check(
    run_one: RunOne, needed: timedelta, result: Result
) -> None:
    server = attrs.evolve(Reference().server(), max_time_per_check=SPAN)
    assert run_one(server, attrs.evolve(READ, time_needed=needed), None) == result


@pytest.mark.parametrize(
    ("limit", "most", "given"),
    [
        (SPAN, UNLIMITED_TIME, SPAN),
        (SPAN, 3 * SPAN, 4 * SPAN),
        (None, 3 * SPAN, None),
        (None, UNLIMITED_TIME, None),
    ],
)
@in_both_ways
def test_check_timeout_adds_a_finite_max_time_per_check(
    run_one: RunOne,
    limit: timedelta | None,
    most: timedelta,
    given: timedelta | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[timedelta | None] = []

    def note(limit: timedelta | None, function: Callable[[], object]) -> object:
        seen.append(limit)
        return timeout.run_with_timeout(None, function)

    async def note_async(limit: timedelta | None, coroutine: Awaitable[object]) -> object:
        seen.append(limit)
        return await coroutine

    monkeypatch.setattr(runner, "run_with_timeout", note)
    monkeypatch.setattr(runner, "run_with_timeout_async", note_async)
    server = attrs.evolve(Reference().server(), max_time_per_check=most)
    assert run_one(server, READ, limit) is None
    assert seen == [given]


# --- Results --------------------------------------------------------------------------------


@in_both_ways
def test_failed_kit_check_shows_its_last_four_steps(run_one: RunOne) -> None:
    def raises(app: App) -> Steps[None]:
        for user in "uvwx":
            yield from send(app.account_state(user))
        raise NotConformingError("the state is wrong")

    failure = run_one(Reference().server(), Check("a.b", "It raises.", raises), None)
    assert isinstance(failure, Failure)
    assert (failure.check, failure.may_be_down) == ("a.b", False)
    first, *steps, last = failure.message.splitlines()
    assert (first, last) == ("the state is wrong", "  check: a.b: It raises.")
    path = "  after: GET /api/sdk/v1/curae-connect/account-state?appUserId="
    assert steps == [f"{path}{user}: 200" for user in "uvwx"]


@in_both_ways
def test_check_failure_after_a_503_says_the_server_may_be_down(run_one: RunOne) -> None:
    def raises(app: App) -> Steps[None]:
        yield from send(app.account_state("u"))
        yield from use("expire", "c0ffee00-0000-4000-8000-000000000001")
        raise NotConformingError("the state is wrong")

    reference = Reference()

    def broken(request: Request) -> Response:
        return attrs.evolve(reference.send(request), status=503)

    server = attrs.evolve(reference.server(), send=broken)
    failure = run_one(server, Check("a.b", "It raises.", raises), None)
    assert isinstance(failure, Failure)
    assert failure.may_be_down


@in_both_ways
def test_check_that_raises_not_seen_error_is_reported_not_run(run_one: RunOne) -> None:
    def sees_nothing(app: App) -> Steps[None]:
        yield from reads(app)
        raise NotSeenError("nothing to see")

    result = run_one(Reference().server(), Check("a.b", "It looks.", sees_nothing), None)
    assert result == NotRun("a.b", "nothing to see")


@in_both_ways
def test_hook_that_raises_not_seen_error_skips_the_check(run_one: RunOne) -> None:
    def expire(connection_id: str) -> str:
        raise NotSeenError(f"no page of {connection_id}")

    def calls(app: App) -> Steps[None]:
        yield from use("expire", "c")
        yield from reads(app)

    server = attrs.evolve(Reference().server(), expire=expire)
    assert run_one(server, Check("a.b", "It calls.", calls), None) == NotRun("a.b", "no page of c")


@in_both_ways
def test_concurrent_outcomes_come_in_the_order_of_their_steps(run_one: RunOne) -> None:
    seen: list[object] = []

    def together(app: App) -> Steps[None]:
        expire = HookCall("expire", ("c0ffee00-0000-4000-8000-000000000001",))
        seen.extend((yield from run_concurrently(app.account_state("u"), expire, app.get("c"))))

    assert run_one(Reference().server(), Check("a.b", "It races.", together), None) is None
    read, outcome, missing = seen
    assert isinstance(read, Response)
    assert isinstance(missing, Response)
    assert (read.status, outcome, missing.status) == (200, "NOT_FOUND", 400)


@in_both_ways
def test_first_error_of_concurrent_steps_fails_the_check(run_one: RunOne) -> None:
    def expire(connection_id: str) -> str:
        raise LookupError(connection_id)

    def together(app: App) -> Steps[None]:
        calls = [HookCall("expire", (name,)) for name in ("one", "two")]
        yield from run_concurrently(app.account_state("u"), *calls)

    server = attrs.evolve(Reference().server(), expire=expire)
    failure = run_one(server, Check("a.b", "It races.", together), None)
    assert isinstance(failure, Failure)
    first, where, *_ = failure.message.splitlines()
    assert (first, where) == ("the hook expire raised LookupError('one')", "  where: expire")
    assert failure.may_be_down


def test_failure_shows_error_of_first_listed_not_fastest_call() -> None:
    plain = asynchronous(Reference().server())

    async def expire(connection_id: str) -> str:
        if connection_id == "one":
            for _ in range(9):
                await asyncio.sleep(0)
        raise LookupError(connection_id)

    def together(_: App) -> Steps[None]:
        yield from run_concurrently(*[HookCall("expire", (name,)) for name in ("one", "two")])

    check = Check("a.b", "It races.", together)
    server = attrs.evolve(plain, expire=expire)
    failure = asyncio.run(
        run_check_async(server, check=check, seed="s", operations=EIGHT, timeout=None)
    )
    assert isinstance(failure, Failure)
    assert failure.message.startswith("the hook expire raised LookupError('one')")


@in_both_ways
@pytest.mark.parametrize("fails", [False, True])
def test_buckets_that_a_check_replaced_are_restored(run_one: RunOne, *, fails: bool) -> None:
    given: list[object] = []

    def replaces(app: App) -> Steps[None]:
        yield from use("replace_buckets", ())
        if fails:
            raise NotConformingError("wrong")
        yield from reads(app)

    server = attrs.evolve(Reference().server(), replace_buckets=given.append)
    check = Check("a.b", "It replaces.", replaces, hooks=("replace_buckets",))
    assert isinstance(run_one(server, check, None), Failure) is fails
    assert given == [(), None]
    assert run_one(server, READ, None) is None
    assert given == [(), None]


@in_both_ways
def test_buckets_that_cannot_be_restored_fail_the_check(run_one: RunOne) -> None:
    def replace_buckets(buckets: object) -> None:
        raise LookupError(buckets)

    server = attrs.evolve(Reference().server(), replace_buckets=replace_buckets)
    failure = run_one(server, attrs.evolve(READ, hooks=("replace_buckets",)), None)
    assert isinstance(failure, Failure)
    assert failure.message.startswith("the hook replace_buckets raised LookupError(None)")


# --- Whole runs -----------------------------------------------------------------------------


def apps_of(seed: str | None, *, is_async: bool) -> tuple[str, list[str]]:
    """Run a check, and return the seed of the report and the apps that the check made."""
    reference, seen = Reference(), list[str]()

    def make_key(wanted: ApiKeyRequest) -> str:
        seen.append(wanted.app_id)
        return reference.make_key(wanted)

    server = attrs.evolve(reference.server(), make_key=make_key)
    if is_async:
        report = asyncio.run(run_async(asynchronous(server), only=[ROUTE], seed=seed))
    else:
        report = run(server, only=[ROUTE], seed=seed)
    assert report.passed == (ROUTE,)
    return report.seed, seen


@pytest.mark.parametrize("is_async", [False, True])
def test_run_uses_the_given_seed_and_reports_it(*, is_async: bool) -> None:
    seed, apps = apps_of("mine", is_async=is_async)
    assert seed == "mine"
    assert apps[0] == Names(f"mine {ROUTE}").word("app")


@pytest.mark.parametrize("is_async", [False, True])
def test_run_without_a_seed_reports_a_random_one(*, is_async: bool) -> None:
    seed, apps = apps_of(None, is_async=is_async)
    other, _ = apps_of(None, is_async=is_async)
    assert seed != other
    assert apps[0] == Names(f"{seed} {ROUTE}").word("app")


@pytest.mark.parametrize("is_async", [False, True])
def test_run_can_select_the_check_of_a_custom_operation(*, is_async: bool) -> None:
    server, only = Reference(Settings(operations=EIGHT)).server(), ["operation.relabel"]
    if is_async:
        report = asyncio.run(run_async(asynchronous(server), only=only, operations=EIGHT))
    else:
        report = run(server, only=only, operations=EIGHT)
    assert report.passed == tuple(only)


def test_selected_checks_are_in_the_order_of_the_kit() -> None:
    names = [each.name for each in CHECKS]
    assert [each.name for each in select_checks(None)] == names
    assert [each.name for each in select_checks([names[7], names[2]])] == [names[2], names[7]]
    (relabel,) = select_checks(["operation.relabel"], EIGHT)
    assert relabel.name == "operation.relabel"


@pytest.mark.parametrize("only", [[], (), "request.route"])
def test_empty_or_string_selection_of_checks_raises(only: Collection[str]) -> None:
    with pytest.raises(ArgumentError, match="only: must be None, or the names of one or more"):
        select_checks(only)


def test_error_lists_unknown_kit_check_names_alphabetically() -> None:
    with pytest.raises(KeyError, match=r"^'no such check: a, b'$"):
        select_checks(["b", ROUTE, "a"], OPERATIONS)


class Flaky:
    """A server whose requests fail once `left` of them have succeeded."""

    def __init__(self, left: int) -> None:
        self.reference = Reference()
        self.left = left
        self.sent = 0

    def send(self, request: Request) -> Response:
        self.sent += 1
        if self.sent > self.left:
            raise ConnectionRefusedError(request.method)
        return self.reference.send(request)

    def server(self) -> Server:
        return attrs.evolve(self.reference.server(), send=self.send)


@pytest.mark.parametrize("is_async", [False, True])
def test_kit_does_not_probe_the_server_if_the_last_check_fails(*, is_async: bool) -> None:
    flaky = Flaky(0)
    if is_async:
        report = asyncio.run(run_async(asynchronous(flaky.server()), only=[ROUTE]))
    else:
        report = run(flaky.server(), only=[ROUTE])
    assert flaky.sent == 1
    assert [each.may_be_down for each in report.failed] == [True]
    assert report.failed[0].message.startswith("send raised ConnectionRefusedError(")


@pytest.mark.parametrize("is_async", [False, True])
def test_kit_probes_the_server_if_a_check_before_the_last_fails(*, is_async: bool) -> None:
    flaky, only = Flaky(0), [CHECKS[2].name, CHECKS[3].name]
    told: list[Progress] = []
    if is_async:
        server = asynchronous(flaky.server())
        report = asyncio.run(run_async(server, only=only, progress=told.append))
    else:
        report = run(flaky.server(), only=only, progress=told.append)
    assert [each.check for each in told] == only
    assert [each.outcome for each in told] == [CheckOutcome.FAILED, CheckOutcome.NOT_RUN]
    assert flaky.sent == 2
    assert [each.check for each in report.failed] == only[:1]
    assert report.failed[0].message.startswith("the server is down: send raised")
    assert report.not_run == (NotRun(only[1], f"the server was down since {only[0]}"),)


def test_progress_says_how_long_each_check_took(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Progress] = []
    now = [7.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    results = runner._Results([READ, READ], told.append)
    for number, check in enumerate(results.checks(), 1):
        now[0] += number
        results.add(check, None)
    assert [(each.number, each.seconds) for each in told] == [(1, 1.0), (2, 2.0)]
