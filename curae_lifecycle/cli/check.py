"""`check`: the kit, the races and worlds of the simulation, on a store of anybody's."""

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
from curae_lifecycle.cli.simulate import run_world, say_violation
from curae_lifecycle.cli.terminal import say, track_progress
from curae_lifecycle.testing.blocking import AsyncStoreWithApiKeys, BlockingStoreAdapter
from curae_lifecycle.testing.conformance import CHECKS, DEFAULT_TIMEOUT, Failure
from curae_lifecycle.testing.conformance import run as run_kit
from curae_lifecycle.testing.conformance.store_server import server_for_store
from curae_lifecycle.testing.races import SCENARIOS, RaceResult, StoreArena, race_all
from curae_lifecycle.testing.simulated_clock import StoreWithApiKeys

_NEEDED: Final = ("register", "caller_of", "load", "commit")
_CLIENTS: Final = 2
_HOURS: Final = 12
_SHOWN: Final = 5
"""How many findings of a part are told in full, and how much of each."""

Make = Callable[[], StoreWithApiKeys]


def add_options(command: argparse.ArgumentParser) -> None:
    """Say what there is to check."""
    command.add_argument(
        "store",
        metavar="MODULE:STORE",
        help="a callable that makes an empty store, a new one each time",
    )
    command.add_argument(
        "--seeds", type=positive, metavar="N", default=3, help="how many worlds are simulated"
    )
    command.add_argument(
        "--limit",
        type=positive,
        metavar="SECONDS",
        default=DEFAULT_TIMEOUT // timedelta(seconds=1),
        help="how long one check of the kit may take",
    )
    command.add_argument("--only", choices=tuple(_PARTS), help="one of the three parts")
    command.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Run each part; say what it finds, and whether it found anything."""
    make = _callable(parser, options.store)
    names = [options.only] if options.only else [*_PARTS]
    findings = 0
    with asyncio.Runner() as runner:
        for name in names:
            try:
                findings += _PARTS[name](lambda: _store(parser, make(), runner), options)
            except Exception as error:  # noqa: BLE001 - whatever a store raises is what it does
                say(f"{name}: raised {type(error).__name__}: {error}", "refused")
                say("".join(traceback.format_exception(error)).rstrip(), "rule")
                findings += 1
    say(f"findings: {findings}", "title")
    return 1 if findings else 0


def _callable(parser: argparse.ArgumentParser, text: str) -> Callable[[], object]:
    module, _, name = text.partition(":")
    if not module or not name:
        parser.error(f"{text}: say which module and what of it, as in my_app.stores:empty_store")
    try:
        found: object = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        parser.error(f"{text}: {error}")
    if not callable(found):
        parser.error(f"{text} makes no store: it cannot be called")
    return cast("Callable[[], object]", found)


def _store(
    parser: argparse.ArgumentParser, made: object, runner: asyncio.Runner
) -> StoreWithApiKeys:
    missing = [name for name in _NEEDED if not callable(getattr(made, name, None))]
    if missing:
        parser.error(f"{type(made).__name__} is no store: it has no {', '.join(missing)}")
    if inspect.iscoroutinefunction(getattr(made, "load", None)):
        return BlockingStoreAdapter(cast("AsyncStoreWithApiKeys", made), runner)
    return cast("StoreWithApiKeys", made)


# --- The parts ------------------------------------------------------------------------------


def _kit(make: Make, options: argparse.Namespace) -> int:
    server, limit = server_for_store(make()), timedelta(seconds=options.limit)
    passed, failed = 0, list[Failure]()
    for each in track_progress("kit", items=CHECKS, total=len(CHECKS), size=lambda _: 1):
        report = run_kit(server, only=[each.name], timeout=limit)
        passed += len(report.passed)
        failed += report.failed
    say(f"kit: {passed} checks passed, {len(failed)} failed", "title")
    for failure in failed[:_SHOWN]:
        say(f"{failure.check}: {failure.message}", "rule")
    _say_rest(len(failed))
    return len(failed)


def _races(make: Make, options: argparse.Namespace) -> int:
    del options
    arena = StoreArena(make())
    met, wrong = 0, list[tuple[str, RaceResult]]()
    for name in track_progress("races", items=SCENARIOS, total=len(SCENARIOS), size=lambda _: 1):
        for raced in race_all(arena, SCENARIOS[name]):
            met += 1
            if raced.differences:
                wrong.append((name, raced))
    say(f"races: {met:,} pairs met, {len(wrong):,} ended as neither order does", "title")
    for name, raced in wrong[:_SHOWN]:
        say(f"{name}: {raced.first}, then {raced.second}, which had loaded before that", "rule")
        for part in raced.differences[:_SHOWN]:
            say(f"  {part}", "asked")
    _say_rest(len(wrong))
    return len(wrong)


def _simulation(make: Make, options: argparse.Namespace) -> int:
    for seed in range(options.seeds):
        summary = run_world(seed, clients=_CLIENTS, hours=_HOURS, store=lambda _: make())
        say(f"simulation: {summary.headline()}", "title")
        if summary.violation is not None:
            return say_violation(seed, summary.violation, None)
    return 0


def _say_rest(number: int) -> None:
    if number > _SHOWN:
        say(f"and {number - _SHOWN} more", "rule")


_PARTS: Final[dict[str, Callable[[Make, argparse.Namespace], int]]] = {
    "kit": _kit,
    "races": _races,
    "simulation": _simulation,
}
