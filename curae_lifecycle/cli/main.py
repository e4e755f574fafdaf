"""The command line, and the only I/O of the package.

python -m curae_lifecycle tour
python -m curae_lifecycle tables [NAME] [--format md|mermaid|json]
python -m curae_lifecycle replay FILE [--check]
python -m curae_lifecycle simulate --seed N [--seeds M] [--clients C] [--hours H]
python -m curae_lifecycle openapi [--write FILE] [--check]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import attrs

from curae_lifecycle import __version__
from curae_lifecycle.cli.terminal import progress, say, steps
from curae_lifecycle.cli.tour import lines
from curae_lifecycle.cli.tour import steps as tour_steps
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.values import Environment, format_time
from curae_lifecycle.service.rulebook import TABLES, find_rule, pages
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.cells import Cell, cells_of, count_cells
from curae_lifecycle.testing.simulation import Simulation, Summary, Violation
from curae_lifecycle.web.openapi import openapi


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0; 1 for a broken line, a divergence, a stale page or a law that did
        not hold; 2 for a mistake on the command line.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "tour":
                return _tour()
            case "tables":
                return _tables(parser, options)
            case "simulate":
                return _simulate(parser, options)
            case "openapi":
                return _openapi(parser, options)
            case _:
                return _replay(parser, options)
    except BrokenPipeError:
        # Whoever read the output has read enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m curae_lifecycle",
        description="The lifecycle of patient-data connections, as pure rules.",
    )
    parser.add_argument("--version", action="version", version=f"curae_lifecycle {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "tour",
        help="watch the rules answer, from the first initiate to the last revoke",
        description="Tells the story of the platform's operations: each step shows the "
        "request, the answer and the rule that decided. With the cli extra it comes in colour "
        "on a terminal.",
    )
    tables = commands.add_parser(
        "tables",
        help="print the tables that decide",
        description="Prints every table, or the one named. The name of a rule, as an answer's "
        "trail has it, finds its table and the line of code it stands in.",
    )
    tables.add_argument("name", nargs="?", metavar="NAME", help="a table, or a rule")
    tables.add_argument("--format", choices=("md", "mermaid", "json"), default="md")
    tables.add_argument(
        "--write", type=Path, metavar="DIR", help="write every page into a directory instead"
    )
    tables.add_argument(
        "--check", action="store_true", help="with --write: write nothing, fail on a stale page"
    )
    log = commands.add_parser(
        "replay",
        help="run a log of traffic through the rules",
        description="Reads JSON lines in time order, runs them through the rules on an empty "
        "world and writes one JSON line for each. A broken line is answered with its error and "
        "the rest goes on; the exit status is then 1.",
    )
    log.add_argument("file", metavar="FILE", help="the log; - for standard input")
    log.add_argument(
        "--check",
        action="store_true",
        help="compare recorded responses (status, code, body with ids matched one to one): "
        "each divergence stands in its line's answer and on standard error, with the rule that "
        "decided, and the exit status is 1 if there is any",
    )
    log.add_argument(
        "--environment",
        choices=("live", "test"),
        help="serve one environment only; a key of the other is refused",
    )
    document = commands.add_parser(
        "openapi",
        help="print the API as an OpenAPI 3.1 document",
        description="Prints what the seven operations take and answer, every problem code "
        "included, as JSON.",
    )
    document.add_argument("--write", type=Path, metavar="FILE", help="write it into a file instead")
    document.add_argument(
        "--check", action="store_true", help="with --write: write nothing, fail on a stale file"
    )
    _add_simulate_options(
        commands.add_parser(
            "simulate",
            help="let worlds of clients that crash and retry live, and hold the laws against them",
            description="Simulates apps, users, hosted pages, flaky networks and workers that "
            "die, on simulated time. A seed decides everything that happens. The laws are checked "
            "at each step; where one does not hold, the seed and a log for replay are written and "
            "the exit status is 1.",
        )
    )
    return parser


def _add_simulate_options(world: argparse.ArgumentParser) -> None:
    world.add_argument("--seed", type=int, metavar="N", required=True, help="the first seed")
    world.add_argument(
        "--seeds", type=_positive, metavar="M", default=1, help="how many seeds, one world each"
    )
    world.add_argument(
        "--clients", type=_positive, metavar="C", default=2, help="how many apps in each world"
    )
    world.add_argument(
        "--hours", type=_positive, metavar="H", default=24, help="how many hours in each world"
    )
    world.add_argument(
        "--cells", action="store_true", help="count which cells of the tables were reached"
    )
    world.add_argument(
        "--log", type=Path, metavar="FILE", help="where to write the log of a violation"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _tour() -> int:
    for number, step in enumerate(tour_steps(), 1):
        for line in lines(number, step):
            say(line.text, line.role)
    say("Each rule is a row of a table: python -m curae_lifecycle tables RULE", "title")
    return 0


def _tables(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if options.write is not None:
        return _write(options.write, pages(), "*.md", check=options.check)
    name: str | None = options.name
    if name is not None and name not in TABLES:
        found = find_rule(name)
        if found is None:
            known = ", ".join(TABLES)
            parser.error(f"no table and no rule is named {name}; the tables are {known}")
        if options.format == "md":
            print(f"{name}: {found.row.outcome}\n{found.row.why}\n{_place(name)}\n")
        name = found.table.name
    chosen = list(TABLES.values()) if name is None else [TABLES[name]]
    match options.format:
        case "json":
            texts = [table.to_json() for table in chosen]
            print(texts[0] if name is not None else f"[{','.join(texts)}]", end="")
        case "mermaid":
            texts = [table.to_mermaid() for table in chosen if table.state is not None]
            if not texts:
                parser.error(f"the table {name} moves no state, so it has no diagram")
            print("\n".join(texts), end="")
        case _:
            print("\n".join(table.to_markdown() for table in chosen), end="")
    return 0


def _place(rule: str) -> str:
    """The line of code in which a rule stands."""
    places = (
        f"{path.parent.name}/{path.name}:{number}"
        for path in sorted(Path(__file__).parent.glob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if f'"{rule}"' in line
    )
    return next(places, "its source is not at hand")


def _write(directory: Path, wanted: dict[str, str], kind: str, *, check: bool) -> int:
    if check:
        written = {path.name: path.read_text(encoding="utf-8") for path in directory.glob(kind)}
        stale = sorted(
            name for name in wanted.keys() | written.keys() if wanted.get(name) != written.get(name)
        )
        if stale:
            print(f"stale, write them again with --write: {', '.join(stale)}", file=sys.stderr)
        return 1 if stale else 0
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (directory / name).write_text(text, encoding="utf-8")
    return 0


def _openapi(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    text = json.dumps(openapi(), indent=2) + "\n"
    file: Path | None = options.write
    if file is None:
        if options.check:
            parser.error("--check compares a file: name it with --write")
        sys.stdout.write(text)
        return 0
    return _write(file.parent, {file.name: text}, file.name, check=options.check)


def _replay(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    environment = None if options.environment is None else Environment(options.environment)
    name: str = options.file
    try:
        # The with statement below closes it.
        log = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115
    except OSError as error:
        parser.error(f"cannot read {name}: {error.strerror}")
    with log:
        total = 0 if name == "-" else os.fstat(log.fileno()).st_size
        failed = False
        for line in replay(progress(log, total), environment=environment, check=options.check):
            answer = line.answer
            for each in line.divergences:
                print(
                    f"line {answer['line']}: {each.member}: recorded {json.dumps(each.recorded)}, "
                    f"decided {json.dumps(each.decided)} by rule {each.rule}",
                    file=sys.stderr,
                )
            if line.divergences:
                answer = answer | {"divergences": [attrs.asdict(d) for d in line.divergences]}
            sys.stdout.write(f"{json.dumps(answer)}\n")
            failed = failed or line.broken or bool(line.divergences)
    return 1 if failed else 0


def _simulate(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    log: Path | None = options.log
    if log is not None and (log.is_dir() or not log.parent.is_dir()):
        parser.error(f"cannot write {log}: no such place for a file")
    clients: int = options.clients
    hours: int = options.hours
    total = Summary(options.seed, clients)
    with ExitStack() as stack:
        counts = stack.enter_context(count_cells()) if options.cells else None
        for seed in range(options.seed, options.seed + options.seeds):
            world = Simulation(seed, clients=clients, hours=hours, store=MemoryStore)
            for _ in steps(f"seed {seed}", world.run(), hours, lambda _: 1):
                pass
            summary = world.summary
            say(summary.headline(), "title")
            if summary.violation is not None:
                return _say_violation(seed, summary.violation, log)
            total.add(summary)
    for line in total.lines():
        say(line, "asked" if line.startswith(" ") else "title")
    if counts is not None:
        _say_cells(counts)
    say(
        f"every law held: {total.client_hours:,} client-hours, {total.requests:,} requests", "title"
    )
    return 0


def _say_violation(seed: int, violation: Violation, log: Path | None) -> int:
    say(f"seed {seed} at {format_time(violation.at)}: {violation.account}", "rule")
    served = violation.environment
    option = "" if served is None else f" --environment {served}"
    say(f"read the log with: python -m curae_lifecycle replay {log or '-'}{option}", "title")
    text = "".join(f"{line}\n" for line in violation.log)
    if log is None:
        sys.stdout.write(text)
    else:
        log.write_text(text, encoding="utf-8")
    return 1


def _say_cells(counts: Mapping[Cell, int]) -> None:
    cells = cells_of(TABLES.values())
    never = [" × ".join(cell) for cell in cells if cell not in counts]
    say(f"cells reached: {len(cells) - len(never)} of {len(cells)}", "title")
    for cell in never:
        say(f"never reached: {cell}", "rule")
