"""Run the tests against mutants of the package's code; each must make a deterministic test fail.

    python benchmarks/mutants.py [MODULE ...] [--sample N] [--seed S] [--jobs N]

mutmut 3.8 or newer makes the mutants: one change in one function, method or property. A MODULE is
a name within the package, such as `rules.ratelimit`, or a folder's, such as `service.operations`.
Hypothesis tests are left out, since a random test kills a mutant on some seeds and not on others.

A mutant that no test detects is *equivalent* if `PROVEN` has a proof for it; otherwise it
*survives*. The exit status is 1 if a mutant survives, if an entry of `PROVEN` matches a killed
mutant, or if, in a run without `--sample`, an entry matches no mutant. Tables are not code:
`tests/proof/oracles/test_table_mutants.py` changes their cells.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.choosing import choose, choose_modules
from benchmarks.equivalent import EQUIVALENT
from benchmarks.equivalent_bodies import EQUIVALENT_BODIES
from benchmarks.equivalent_checks import EQUIVALENT_CHECKS
from benchmarks.equivalent_cli_commands import EQUIVALENT_CLI_COMMANDS
from benchmarks.equivalent_cli_tables import EQUIVALENT_CLI_TABLES
from benchmarks.equivalent_conformance import EQUIVALENT_CONFORMANCE
from benchmarks.equivalent_model import EQUIVALENT_MODEL
from benchmarks.equivalent_races import EQUIVALENT_RACES
from benchmarks.equivalent_servers import EQUIVALENT_SERVERS
from benchmarks.equivalent_stores import EQUIVALENT_STORES
from benchmarks.equivalent_strategies import EQUIVALENT_STRATEGIES
from benchmarks.equivalent_testing import EQUIVALENT_TESTING
from benchmarks.equivalent_traffic import EQUIVALENT_TRAFFIC
from benchmarks.equivalent_world import EQUIVALENT_WORLD
from benchmarks.mutant import ROOT, Mutant, configure, modules, mutants_of, path_of
from benchmarks.trial import Trial

PROVEN: Final = {
    **EQUIVALENT,
    **EQUIVALENT_BODIES,
    **EQUIVALENT_CHECKS,
    **EQUIVALENT_CLI_COMMANDS,
    **EQUIVALENT_CLI_TABLES,
    **EQUIVALENT_CONFORMANCE,
    **EQUIVALENT_MODEL,
    **EQUIVALENT_RACES,
    **EQUIVALENT_SERVERS,
    **EQUIVALENT_STORES,
    **EQUIVALENT_STRATEGIES,
    **EQUIVALENT_TESTING,
    **EQUIVALENT_TRAFFIC,
    **EQUIVALENT_WORLD,
}
"""The proofs that no caller can distinguish a mutant from the code, by mutant."""

_PER_MODULE: Final = 3
"""The approximate number of mutants that a sample takes from a module.

A sample chooses modules first, since making the mutants of all modules takes minutes.
"""

GENERAL: Final = (
    "cli/test_check_output.py",
    "cli/test_check_report.py::test_check_limit_option_is_the_timeout_of_each_kit_check",
    "cli/test_check_report.py::test_check_exits_2_unless_the_factory_gives_new_empty_stores",
    "cli/test_check_report.py::test_check_limit_above_1000000000_seconds_exits_2",
    "cli/test_erasing.py",
    "cli/test_help.py",
    "cli/test_missing_database.py",
    "cli/test_operating.py",
    "cli/test_parser.py",
    "cli/test_progress.py",
    "cli/test_repeated_facts.py",
    "cli/test_streams.py",
    "cli/test_table_findings.py",
    "cli/test_tables_output.py",
    "docs/extending/test_extending.py",
    "docs/generate/test_generate.py::test_committed_generated_docs_are_current[problems]",
    "docs/generate/test_generate.py::test_committed_generated_docs_are_current[tables]",
    "docs/generate/test_generate.py::test_committed_generated_docs_are_current[tour]",
    "docs/generate/test_tour_picture.py",
    "proof/domains/test_domains.py",
    "proof/oracles/test_table_mutants.py",
    "replay/test_broken.py",
    "replay/test_emptiest_members.py",
    "replay/test_facts.py",
    "replay/test_late_facts.py",
    "replay/test_log.py",
    "replay/test_names.py",
    "replay/test_page_urls.py",
    "rules/test_buckets.py::test_bucket_dated_a_year_ahead_admits_capacity_then_refuses",
    "rules/test_changed_limits.py",
    "rules/test_times.py",
    "servers/test_debug.py",
    "servers/test_endpoint_arguments.py",
    "servers/test_endpoint_lines.py",
    "servers/test_guard_queue.py",
    "servers/test_guard_sharing.py",
    "servers/test_metrics_text.py",
    "service/test_checked_values.py",
    "service/test_emptiest_members.py",
    "service/test_gate_order.py",
    "service/test_mistakes.py",
    "service/test_reprs.py",
    "stores/external_call/test_async.py",
    "stores/external_call/test_blocking.py",
    "stores/external_call/test_events_during_call.py",
    "stores/formats/test_formats.py",
    "stores/formats/test_newer_formats.py",
    "stores/memory/test_accounts.py",
    "stores/memory/test_bounds.py",
    "stores/memory/test_contract.py",
    "stores/memory/test_lookups.py",
    "stores/memory/test_memory.py",
    "stores/memory/test_replaced_pages.py",
    "stores/memory/test_retention.py",
    "stores/sql/test_chain_parts.py::test_memory_store_loads_the_requested_part_of_a_chain",
    "stores/test_api_keys.py",
    "stores/test_chain_revocation.py",
    "stores/test_commit_result.py",
    "stores/test_emptiest_fields.py",
    "stores/test_rows.py",
    "stores/test_serve_async.py",
    "stores/test_sweeping.py",
    "stores/test_wiring.py",
    "testing/watch/test_accepted.py",
    "testing/watch/test_tombstones.py",
    "testing/watch/test_watch.py",
    "web/test_events.py",
    "web/test_limits_left.py",
    "web/test_own_bodies.py",
    "web/test_read.py",
    "web/test_reply_fields.py",
    "web/test_request_wiring.py",
    "web/test_respond.py",
    "web/test_wire_format.py",
)
"""The tests that cover several modules."""

LEFT_OUT: Final = (
    "web/openapi/test_behaviour.py",
    "web/openapi/test_document.py::test_real_traffic_gets_exactly_the_documented_answers",
    "web/openapi/test_headers.py",
    "web/openapi/test_schemathesis.py",
    "web/openapi/test_summaries.py",
)
"""Tests of a document that is built when they are imported, before any mutant is active."""


def tests_of(names: tuple[str, ...]) -> list[str]:
    """Return the tests of the modules: those at matching paths, and those of several modules."""
    found = {f"tests/{path}" for path in GENERAL}
    for name in names:
        *folders, module = name.split(".")
        own = Path("tests", *folders, f"test_{module}.py")
        if (ROOT / own).exists():
            found.add(own.as_posix())
        if len(folders) > 1:
            tests = (ROOT / own.parent).glob("test_*.py")
            found.update(path.relative_to(ROOT).as_posix() for path in tests)
    return sorted(found)


def main() -> int:
    """Run the tests against the mutants, print a report and return the exit status."""
    every = modules()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(every))
    parser.add_argument("--sample", type=int, metavar="N", help="try N of the mutants")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    asked: list[str] = options.modules or list(every)
    for name in asked:
        if not any(f"{each}.".startswith(f"{name}.") for each in every):
            parser.error(f"{name} is none of {', '.join(every)}")
    names = [each for each in every if any(f"{each}.".startswith(f"{name}.") for name in asked)]
    if options.sample is not None:
        sizes = {name: path_of(name).stat().st_size for name in names}
        some = choose_modules(sizes, max(1, options.sample // _PER_MODULE), seed=options.seed)
        names = [name for name in names if name in some]
    configure()
    mutants = [mutant for name in names for mutant in mutants_of(name)]
    if options.sample is not None:
        chosen = choose(len(mutants), options.sample, seed=options.seed)
        mutants = [mutants[place] for place in chosen]
    began = time.monotonic()
    trial = Trial(mutants, options.jobs)
    arguments = ["-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:terminal"]
    arguments += [f"--deselect=tests/{each}" for each in LEFT_OUT]
    status = pytest.main(
        [*arguments, "-m", "not hypothesis and not heavy", *tests_of(every)], plugins=[trial]
    )
    if trial.failure:
        print(f"no verdict (pytest ended with {int(status)}): {trial.failure}")
        return 2
    seconds = time.monotonic() - began
    return report(mutants, trial.survivors, seconds, whole=options.sample is None)


def report(mutants: list[Mutant], unnoticed: list[Mutant], seconds: float, *, whole: bool) -> int:
    """Print the outcomes of the mutants by module.

    Args:
        mutants: All mutants of the run.
        unnoticed: The mutants that no test detected.
        seconds: The time that the run took.
        whole: True if the run had all mutants of its modules, so that each entry must match one.

    Returns:
        1 if a mutant survives or an entry of `PROVEN` is wrong, otherwise 0.
    """
    proven = [mutant for mutant in unnoticed if mutant.key in PROVEN]
    survivors = [mutant for mutant in unnoticed if mutant.key not in PROVEN]
    made, same, left = (
        Counter(mutant.module for mutant in group) for group in (mutants, proven, survivors)
    )
    print(f"{'module':<38} {'mutants':>7} {'killed':>7} {'equivalent':>10} {'survived':>8}")
    for name in made:
        _print_line(name, made=made[name], same=same[name], left=left[name])
    _print_line("all", made=made.total(), same=same.total(), left=left.total())
    print(f"in {seconds:.0f} s")
    for mutant in survivors:
        print(f"\nsurvived: {mutant}")
    keys = {mutant.key for mutant in mutants}
    wrong = keys & set(PROVEN) - {mutant.key for mutant in proven}
    if whole:
        within = tuple(f"{name}." for name in made)
        wrong |= {key for key in PROVEN if key[0].startswith(within)} - keys
    for key in sorted(wrong):
        where, before, after = key
        print(f"\nlisted as equivalent, but killed or no longer made: {where}")
        print(f"    - {before}\n    + {after}")
    return 1 if survivors or wrong else 0


def _print_line(name: str, made: int, same: int, left: int) -> None:
    print(f"{name:<38} {made:>7} {made - same - left:>7} {same:>10} {left:>8}")


if __name__ == "__main__":
    sys.exit(main())
