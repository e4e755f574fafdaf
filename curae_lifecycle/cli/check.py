"""The command `check`: the conformance kit, the races and the simulation on any store."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import traceback
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Final, cast

from curae_lifecycle.cli.options import positive
from curae_lifecycle.cli.simulate import run_seed, say_violation
from curae_lifecycle.cli.terminal import say, track_progress
from curae_lifecycle.testing.blocking import AsyncStoreWithApiKeys, BlockingStoreAdapter
from curae_lifecycle.testing.conformance import CHECKS, DEFAULT_TIMEOUT, Failure
from curae_lifecycle.testing.conformance import run as run_kit
from curae_lifecycle.testing.conformance.store_server import server_for_store
from curae_lifecycle.testing.races import SCENARIOS, RaceResult, StoreArena, race_all
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys

_REQUIRED_METHODS: Final = ("register", "caller_of", "load", "commit")
_CLIENTS: Final = 2
_HOURS: Final = 12
_MAX_SHOWN: Final = 5
"""How many findings of a part are printed, and how many differences of a race."""

MakeStore = Callable[[], StoreWithApiKeys]
"""A function that returns a new empty store at each call."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command `check` to its parser, and set `run` to run it."""
    command.add_argument(
        "store",
        metavar="MODULE:STORE",
        help="a callable that returns a new empty store each time",
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
        type=positive,
        metavar="SECONDS",
        default=DEFAULT_TIMEOUT // timedelta(seconds=1),
        help="how long one check of the kit may take, in seconds (default: %(default)s)",
    )
    command.add_argument("--only", choices=tuple(_PARTS), help="run only this part; by default all")
    command.set_defaults(run=run, parser=command)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Run the kit, the races and the simulation on the store, or only the part of `--only`.

    Each part prints its findings. An exception that a part raises counts as a finding.

    Returns:
        The exit status: 1 if there are any findings, else 0.
    """
    make_store = _import_callable(parser, options.store)
    names = [options.only] if options.only else [*_PARTS]
    findings = 0
    with asyncio.Runner() as runner:
        for name in names:
            try:
                findings += _PARTS[name](lambda: _as_store(parser, make_store(), runner), options)
            except Exception as error:  # noqa: BLE001 - whatever a store raises is a finding
                say(f"{name}: raised {type(error).__name__}: {error}", "refused")
                say("".join(traceback.format_exception(error)).rstrip(), "rule")
                findings += 1
    say(f"findings: {findings}", "title")
    return 1 if findings else 0


def _import_callable(parser: argparse.ArgumentParser, text: str) -> Callable[[], object]:
    module, _, name = text.partition(":")
    if not module or not name:
        parser.error(f"{text}: must be MODULE:STORE, such as my_app.stores:empty_store")
    try:
        found: object = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        parser.error(f"{text}: {error}")
    if not callable(found):
        parser.error(f"{text}: must be callable and return a store")
    return cast("Callable[[], object]", found)


def _as_store(
    parser: argparse.ArgumentParser, store: object, runner: asyncio.Runner
) -> StoreWithApiKeys:
    missing = [name for name in _REQUIRED_METHODS if not callable(getattr(store, name, None))]
    if missing:
        parser.error(
            f"{type(store).__name__} is not a store: it has no method {', '.join(missing)}"
        )
    if inspect.iscoroutinefunction(getattr(store, "load", None)):
        return BlockingStoreAdapter(cast("AsyncStoreWithApiKeys", store), runner)
    return cast("StoreWithApiKeys", store)


# --- The parts ------------------------------------------------------------------------------


def _kit(make_store: MakeStore, options: argparse.Namespace) -> int:
    server, limit = server_for_store(make_store()), timedelta(seconds=options.limit)
    passed, failed = 0, list[Failure]()
    for each in track_progress("kit", items=CHECKS, total=len(CHECKS), size=lambda _: 1):
        report = run_kit(server, only=[each.name], timeout=limit)
        passed += len(report.passed)
        failed += report.failed
    say(f"kit: {passed} checks passed, {len(failed)} failed", "title")
    for failure in failed[:_MAX_SHOWN]:
        say(f"{failure.check}: {failure.message}", "rule")
    _say_rest(len(failed))
    return len(failed)


def _races(make_store: MakeStore, options: argparse.Namespace) -> int:
    del options
    arena = StoreArena(make_store())
    pairs, wrong = 0, list[tuple[str, RaceResult]]()
    for name in track_progress("races", items=SCENARIOS, total=len(SCENARIOS), size=lambda _: 1):
        for result in race_all(arena, SCENARIOS[name]):
            pairs += 1
            if result.differences:
                wrong.append((name, result))
    say(f"races: {pairs:,} pairs run, {len(wrong):,} failed", "title")
    for name, result in wrong[:_MAX_SHOWN]:
        say(
            f"{name}: {result.first} commits before {result.second}, which had loaded already",
            "rule",
        )
        for difference in result.differences[:_MAX_SHOWN]:
            say(f"  {difference}", "asked")
    _say_rest(len(wrong))
    return len(wrong)


def _simulation(make_store: MakeStore, options: argparse.Namespace) -> int:
    for seed in range(options.seeds):
        summary = run_seed(seed, clients=_CLIENTS, hours=_HOURS, store=lambda _: make_store())
        say(f"simulation: {summary.headline()}", "title")
        if summary.violation is not None:
            return say_violation(seed, summary.violation, None)
    return 0


def _say_rest(number: int) -> None:
    if number > _MAX_SHOWN:
        say(f"and {number - _MAX_SHOWN} more", "rule")


_PARTS: Final[dict[str, Callable[[MakeStore, argparse.Namespace], int]]] = {
    "kit": _kit,
    "races": _races,
    "simulation": _simulation,
}
