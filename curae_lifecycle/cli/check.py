"""The command `check`: the conformance kit, the races and the simulation on any store.

The law of this module: **what is not run is printed with its reason**, and never counts as passed.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Final, cast

import attrs

from curae_lifecycle.cli.options import positive, positive_up_to
from curae_lifecycle.cli.simulate import run_seed, say_violation
from curae_lifecycle.cli.terminal import say, track_progress, wrap_line
from curae_lifecycle.rules.credentials import ApiKey, Caller
from curae_lifecycle.rules.values import ApiKeyId, AppId, CustomerAccountId, Environment
from curae_lifecycle.testing.blocking import (
    AsyncStoreWithApiKeys,
    BlockingStoreAdapter,
    has_clock,
    method_of,
)
from curae_lifecycle.testing.conformance import CHECKS, DEFAULT_TIMEOUT, Report
from curae_lifecycle.testing.conformance.results import list_names
from curae_lifecycle.testing.conformance.store_kit import NO_CLOCK, check_store
from curae_lifecycle.testing.races import (
    SCENARIOS,
    THREE_WAY_RACES,
    StoreArena,
    race_all,
    race_three,
)
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys

_REQUIRED_METHODS: Final = ("register", "caller_of", "load", "commit")
_CLIENTS: Final = 2
_HOURS: Final = 12
_MAX_SHOWN: Final = 5
"""How many findings of a part are printed, and how many differences of a race."""

_MAX_LIMIT: Final = 1_000_000_000
"""The largest `--limit`, in seconds: 31 years. Python cannot represent the end of a much longer one."""

_WIDTH: Final = 100
"""The longest line of a list of checks, in characters."""

_MARK: Final = ApiKey("cae_test_check_of_an_empty_store")
"""An API key that the command registers in every store, to recognize a store that was used."""

_MARK_CALLER: Final = Caller(
    api_key_id=ApiKeyId("check-of-an-empty-store"),
    app_id=AppId("check"),
    customer_account_id=CustomerAccountId("00000000-0000-4000-8000-000000000000"),
    environment=Environment.TEST,
    scopes=frozenset(),
)

MakeStore = Callable[[], StoreWithApiKeys]
"""A function that returns a new empty store at each call."""


@attrs.frozen
class PartResult:
    """The result of a part of `check`: the conformance kit, the races or the simulation.

    Attributes:
        findings: The number of mistakes that the part found in the store.
        not_run: The number of checks that were not run.
    """

    findings: int
    not_run: int = 0


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `check` to its parser, and set the function that runs it."""
    command.add_argument(
        "store",
        metavar="MODULE:STORE",
        help="a callable that returns a new empty store each time; it may be a coroutine function",
    )
    command.add_argument(
        "--seeds",
        type=positive,
        metavar="N",
        default=3,
        help="how many seeds to simulate, from 0 (default: %(default)s)",
    )
    command.add_argument(
        "--limit",
        type=positive_up_to(_MAX_LIMIT),
        metavar="SECONDS",
        default=DEFAULT_TIMEOUT // timedelta(seconds=1),
        help="how long one check of the kit may take, in seconds (default: %(default)s)",
    )
    command.add_argument("--only", choices=tuple(_PARTS), help="run only this part; by default all")
    command.add_argument(
        "--strict", action="store_true", help="also exit with status 1 if any check was not run"
    )
    command.set_defaults(run=run, parser=command)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Check a store with the conformance kit, races and a simulation, or with one of these parts.

    The kit checks each answer of a server. A race runs two actions at once. The simulation runs
    random traffic. Each part prints what it ran, what it did not run and why, and its findings. An
    exception that a part raises counts as a finding.

    Args:
        parser: The parser of the command, which reports a wrong option and exits.
        options: The parsed options.

    Returns:
        The exit status: 1 if there are any findings, else 0. With `--strict` also 1 if any check
            was not run.
    """
    make = _import_callable(parser, options.store)
    names = [options.only] if options.only else [*_PARTS]
    findings = not_run = 0
    with asyncio.Runner() as runner:

        def make_store() -> StoreWithApiKeys:
            return _as_store(parser, make(), runner)

        _refuse_used(parser, options.store, make_store)
        for name in names:
            try:
                result = _PARTS[name](make_store, options)
            except Exception as error:  # noqa: BLE001 - whatever a store raises is a finding
                say(f"{name}: raised {type(error).__name__}: {error}", "refused")
                say("".join(traceback.format_exception(error)).rstrip(), "rule")
                result = PartResult(findings=1)
            findings += result.findings
            not_run += result.not_run
    say(f"findings: {findings}" + (f", not run: {not_run}" if not_run else ""), "title")
    return 1 if findings or (options.strict and not_run) else 0


# --- The store ------------------------------------------------------------------------------


def _import_callable(parser: argparse.ArgumentParser, text: str) -> Callable[[], object]:
    module, _, name = text.partition(":")
    if not module or module.startswith(".") or not name:
        parser.error(f"{text}: must be MODULE:STORE, such as my_app.stores:empty_store")
    folder = str(Path.cwd())
    if not sys.flags.safe_path and folder not in sys.path:
        # The console script does not put the current folder there, as `python -m` does.
        sys.path.insert(0, folder)
    try:
        found: object = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        parser.error(f"{text}: {error}")
    if not callable(found):
        parser.error(f"{text}: must be callable and return a store")
    return cast("Callable[[], object]", found)


def _as_store(
    parser: argparse.ArgumentParser, made: object, runner: asyncio.Runner
) -> StoreWithApiKeys:
    store = (
        runner.run(cast("Coroutine[object, object, object]", made))
        if inspect.iscoroutine(made)
        else made
    )
    missing = [name for name in _REQUIRED_METHODS if not callable(getattr(store, name, None))]
    if missing:
        parser.error(
            f"{type(store).__name__} is not a store: it has no method {', '.join(missing)}; "
            "the callable must return the store itself"
        )
    if inspect.iscoroutinefunction(getattr(store, "load", None)):
        return BlockingStoreAdapter(cast("AsyncStoreWithApiKeys", store), runner)
    return cast("StoreWithApiKeys", store)


def _refuse_used(parser: argparse.ArgumentParser, text: str, make_store: MakeStore) -> None:
    """Exit with status 2 if the callable returns a store that holds values of an earlier use."""
    for call in ("first", "second"):
        # An exception of the store is a finding of the parts, which show where it comes from.
        with suppress(Exception):
            store = make_store()
            if _is_used(store):
                inner = store.inner if isinstance(store, BlockingStoreAdapter) else store
                parser.error(
                    f"{text}: {type(inner).__name__} is not empty at the {call} call; each call "
                    "must return a new empty store, with an empty database"
                )
            store.register(_MARK, _MARK_CALLER)


def _is_used(store: StoreWithApiKeys) -> bool:
    outbox = method_of(store, "outbox")
    return store.caller_of(_MARK.digest()) is not None or bool(outbox is not None and outbox())


# --- The parts ------------------------------------------------------------------------------


def _kit(make_store: MakeStore, options: argparse.Namespace) -> PartResult:
    limit, names = timedelta(seconds=options.limit), [each.name for each in CHECKS]
    ticks = track_progress("kit", items=names, total=len(names), size=lambda _: 1)
    report = check_store(
        make_store(), only=names, timeout=limit, progress=lambda _: next(ticks, None)
    )
    for _ in ticks:
        # Checks that were not run, so that the progress ends.
        pass
    passed, failed, not_run = map(len, (report.passed, report.failed, report.not_run))
    say(f"kit: {passed} checks passed, {failed} failed, {not_run} not run", "title")
    _say_run(", ".join(_families(report)))
    for reason, checks in report.reasons_not_run().items():
        _say_not_run(list_names(checks), reason)
    groups = report.failure_groups()
    for group in groups[:_MAX_SHOWN]:
        say(str(group), "rule")
    _say_rest(len(groups))
    return PartResult(findings=failed, not_run=not_run)


def _families(report: Report) -> list[str]:
    ran = (*report.passed, *(each.check for each in report.failed))
    families = Counter([name.partition(".")[0] for name in ran])
    return [f"{family} {number}" for family, number in sorted(families.items())]


def _races(make_store: MakeStore, options: argparse.Namespace) -> PartResult:
    del options
    arena = StoreArena(make_store())
    pairs, wrong = 0, list[tuple[str, tuple[str, ...]]]()
    for name in track_progress("races", items=SCENARIOS, total=len(SCENARIOS), size=lambda _: 1):
        for each in race_all(arena, SCENARIOS[name]):
            pairs += 1
            if each.differences:
                steps = f"{each.first} commits before {each.second}, which had loaded already"
                wrong.append((f"{name}: {steps}", each.differences))
    say(f"races: {pairs:,} pairs run, {len(wrong):,} failed", "title")
    _say_run("; ".join(SCENARIOS))
    _say_differences(wrong)
    findings = len(wrong) + _three_way_races(arena)
    outbox = _outbox_of_races(arena)
    return PartResult(findings + outbox.findings, outbox.not_run)


def _three_way_races(arena: StoreArena) -> int:
    # Returns the number of findings.
    schedules, wrong = 0, list[tuple[str, tuple[str, ...]]]()
    for name, actions in THREE_WAY_RACES:
        for each in race_three(arena, name, actions):
            schedules += 1
            if each.differences:
                wrong.append((f"{name}: {each}", each.differences))
    say(f"three-way races: {schedules:,} schedules run, {len(wrong):,} failed", "title")
    _say_run("; ".join([", ".join(actions) for _, actions in THREE_WAY_RACES]))
    _say_differences(wrong)
    return len(wrong)


def _outbox_of_races(arena: StoreArena) -> PartResult:
    reason = arena.reason_outbox_not_compared()
    if reason is not None:
        _say_not_run("messages of the races", reason)
        return PartResult(findings=0, not_run=1)
    differences = arena.outbox_differences()
    if differences:
        say(f"outbox after the races: {len(differences):,} messages differ", "title")
    for difference in differences[:_MAX_SHOWN]:
        say(difference, "asked")
    _say_rest(len(differences))
    return PartResult(findings=len(differences))


def _simulation(make_store: MakeStore, options: argparse.Namespace) -> PartResult:
    findings, not_run = 0, _purges_not_run(make_store())
    for seed in range(options.seeds):
        summary = run_seed(seed, clients=_CLIENTS, hours=_HOURS, store=lambda _: make_store())
        say(f"simulation: {summary.headline()}", "title")
        if summary.violation is not None:
            say_violation(seed, summary.violation, None)
            findings = 1
            if seed < options.seeds - 1:
                not_run["the simulation of later seeds"] = f"a law was broken with seed {seed}"
            break
    for what, reason in not_run.items():
        _say_not_run(what, reason)
    return PartResult(findings, len(not_run))


def _purges_not_run(store: StoreWithApiKeys) -> dict[str, str]:
    # Returns what is not run, with the reason; nothing if the simulation purges the store.
    purges = "purges in the simulation"
    if method_of(store, "purge") is None:
        return {purges: "the store has no method purge"}
    return {} if has_clock(store) else {purges: NO_CLOCK}


def _say_run(what: str) -> None:
    for line in wrap_line(f"  run: {what}", _WIDTH):
        say(line, "asked")


def _say_not_run(what: str, reason: str) -> None:
    for line in wrap_line(f"  not run: {what}: {reason}", _WIDTH):
        say(line, "rule")


def _say_differences(wrong: Sequence[tuple[str, Sequence[str]]]) -> None:
    for race, differences in wrong[:_MAX_SHOWN]:
        say(race, "rule")
        for difference in differences[:_MAX_SHOWN]:
            say(f"  {difference}", "asked")
    _say_rest(len(wrong))


def _say_rest(number: int) -> None:
    if number > _MAX_SHOWN:
        say(f"and {number - _MAX_SHOWN} more", "rule")


_PARTS: Final[dict[str, Callable[[MakeStore, argparse.Namespace], PartResult]]] = {
    "kit": _kit,
    "races": _races,
    "simulation": _simulation,
}
