"""Mutants of the code of floors 1 to 3: each must make a deterministic test fail.

    python benchmarks/mutants.py [MODULE ...] [--sample N] [--seed S] [--jobs N]

mutmut 3.8 or newer makes the mutants: one change in one function, method or property. They are
tried without writing a file: the tests are collected once, and for each mutant a forked
process gives the function the mutant's code and runs the tests that call that function, those
with the fewest calls first, until one fails. Hypothesis tests are left out, since a random test
kills a mutant on some seeds and not on others. So the verdict is the same in every run.

A mutant that no test notices is *equivalent* where `EQUIVALENT` gives the proof, and *survives*
otherwise; then the exit status is 1. So it is where an entry of `EQUIVALENT` fits no mutant or
a mutant that is killed. Tables are not code: `tests/test_table_mutants.py` changes their cells.
"""

from __future__ import annotations
import __future__

import argparse
import cProfile
import difflib
import importlib
import os
import pickle
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Final

import attrs
import libcst
import pytest
from _pytest.runner import runtestprotocol
from mutmut.configuration import config
from mutmut.mutation.file_mutation import create_mutations

ROOT: Final = Path(__file__).resolve().parent.parent
MODULES: Final = (
    "tables",
    "values",
    "problems",
    "outcomes",
    "connection",
    "access",
    "binding",
    "session",
    "idempotency",
    "ratelimit",
    "credentials",
    "changes",
    "operations",
    "facts",
)
TESTS: Final = (
    *(f"tests/test_{name}.py" for name in MODULES if name not in {"outcomes", "changes"}),
    "tests/test_exact_answers.py",
    "tests/test_small_domains.py",
    "tests/test_table_mutants.py",
)
CPU_SECONDS: Final = 60
"""How long a mutant may compute before it counts as killed; the tests themselves need far less."""

MEMORY: Final = 4 * 1024**3

_SAME_LENGTH: Final = "Both are as long, which was checked where they were made or just before."
_NEVER_REFUSED: Final = "The instant is read for a refusal alone, and no cell of the event refuses."
_SORTED: Final = (
    "Unless `now` is before the last instant they are in order, and sorting is no change."
)
_NOBODY: Final = "Where nobody is bound, `binding.graduate.unlinked` refuses whoever is named."

EQUIVALENT: Final[dict[tuple[str, str, str], str]] = {
    (
        "tables._covers",
        "part is ANY or part is value for part, value in zip(pattern, key, strict=True)",
        "part is ANY or part is value for part, value in zip(pattern, key, strict=None)",
    ): _SAME_LENGTH,
    (
        "tables.Table.to_json",
        '"key": dict(zip(names, map(str, key), strict=True)),',
        '"key": dict(zip(names, map(str, key), strict=None)),',
    ): _SAME_LENGTH,
    (
        "operations._charge_buckets",
        "for bucket, state in zip(buckets, snapshot.buckets, strict=True)",
        "for bucket, state in zip(buckets, snapshot.buckets, strict=None)",
    ): _SAME_LENGTH,
    (
        "tables._covers",
        "part is ANY or part is value for part, value in zip(pattern, key, strict=True)",
        "part is ANY or part is value for part, value in zip(pattern, key, )",
    ): _SAME_LENGTH,
    (
        "tables.Table.to_json",
        '"key": dict(zip(names, map(str, key), strict=True)),',
        '"key": dict(zip(names, map(str, key), )),',
    ): _SAME_LENGTH,
    (
        "operations._charge_buckets",
        "for bucket, state in zip(buckets, snapshot.buckets, strict=True)",
        "for bucket, state in zip(buckets, snapshot.buckets, )",
    ): _SAME_LENGTH,
    (
        "tables._covers",
        "part is ANY or part is value for part, value in zip(pattern, key, strict=True)",
        "part is ANY or part is value for part, value in zip(pattern, key, strict=False)",
    ): _SAME_LENGTH,
    (
        "tables.Table.to_json",
        '"key": dict(zip(names, map(str, key), strict=True)),',
        '"key": dict(zip(names, map(str, key), strict=False)),',
    ): _SAME_LENGTH,
    (
        "operations._charge_buckets",
        "for bucket, state in zip(buckets, snapshot.buckets, strict=True)",
        "for bucket, state in zip(buckets, snapshot.buckets, strict=False)",
    ): _SAME_LENGTH,
    (
        "operations._charge_buckets",
        "keys, buckets, snapshot.buckets, answer.states, strict=True",
        "keys, buckets, snapshot.buckets, answer.states, strict=None",
    ): _SAME_LENGTH,
    (
        "operations._charge_buckets",
        "keys, buckets, snapshot.buckets, answer.states, strict=True",
        "keys, buckets, snapshot.buckets, answer.states, strict=False",
    ): _SAME_LENGTH,
    (
        "operations._charge_buckets",
        "keys, buckets, snapshot.buckets, answer.states, strict=True )",
        "keys, buckets, snapshot.buckets, answer.states, )",
    ): _SAME_LENGTH,
    (
        "changes.revocation_changes",
        "for before, answer in zip(reached, answers, strict=False)",
        "for before, answer in zip(reached, answers, strict=None)",
    ): "None and nothing mean False to `zip`.",
    (
        "changes.revocation_changes",
        "for before, answer in zip(reached, answers, strict=False)",
        "for before, answer in zip(reached, answers, )",
    ): "None and nothing mean False to `zip`.",
    (
        "tables.Table.to_json",
        'return json.dumps(document, indent=2, ensure_ascii=False) + "\\n"',
        'return json.dumps(document, indent=2, ensure_ascii=None) + "\\n"',
    ): "None means False to `json.dumps`.",
    (
        "connection.require_action",
        "return _unmoved(outcome, row.rules, connection, happened)",
        "return _unmoved(outcome, row.rules, connection, None)",
    ): _NEVER_REFUSED,
    (
        "connection.expire",
        "return _unmoved(outcome, rules, connection, happened)",
        "return _unmoved(outcome, rules, connection, None)",
    ): _NEVER_REFUSED,
    (
        "connection.reconnect",
        "return Refused(_problem(event.outcome, connection, now, successor), event.rules)",
        "return Refused(_problem(event.outcome, connection, now, None), event.rules)",
    ): "The row refuses with CONNECTION_NOT_RECONNECTABLE, whose facts name no successor.",
    (
        "connection._revocation",
        'return (at is None, at or LAST_INSTANT, by is None, by or "")',
        'return (at is None, at or LAST_INSTANT, by is None, by or "XXXX")',
    ): "The text is only compared where the third members are equal: both None, so one text.",
    (
        "ratelimit._charge_log",
        "return LogState(tuple(sorted(admitted)) if instants and now < instants[-1] else admitted)",
        (
            "return LogState(tuple(sorted(admitted)) "
            "if (instants and now < instants[-1]) or True else admitted)"
        ),
    ): _SORTED,
    (
        "ratelimit._charge_log",
        "return LogState(tuple(sorted(admitted)) if instants and now < instants[-1] else admitted)",
        (
            "return LogState(tuple(sorted(admitted)) "
            "if instants and now <= instants[-1] else admitted)"
        ),
    ): _SORTED,
    (
        "ratelimit.available",
        "return max(0, policy.capacity * per_unit - owed) // per_unit",
        "return max(1, policy.capacity * per_unit - owed) // per_unit",
    ): "One is less than a unit, which is at least 10^6, so both give no unit.",
    (
        "values.print_time",
        """return f"{text.rstrip('0')}Z" if instant.microsecond else f"{text}Z\"""",
        """return f"{text.rstrip('XX0XX')}Z" if instant.microsecond else f"{text}Z\"""",
    ): "An instant's text holds no X to be stripped.",
    (
        "credentials.check_permission",
        "case Proceed(): return None",
        "",
    ): "No other case takes it, and a function that ends answers None.",
    (
        "changes.authorization_changes",
        "changes = connection_changes(EventKind.CONNECTION_AUTHORIZED, before, after)",
        "changes = connection_changes(EventKind.CONNECTION_AUTHORIZED, None, after)",
    ): "Its write is replaced, and what became ACTIVE has no effects with either.",
    (
        "operations._revoke",
        "answers = revoke_chain(connection, snapshot.following, now, actor=Actor.APP)",
        "answers = revoke_chain(connection, None, now, actor=Actor.APP)",
    ): "`revocation-reach.app` is that connection, so the later ones are not looked at.",
    (
        "facts._handoff",
        "writes += (BindingWrite(binding, landing.binding),)",
        "writes += (BindingWrite(None, landing.binding),)",
    ): "A sign-up binds only where nobody is bound (`binding.complete-sign-up`), so it is None.",
    (
        "facts._binding_fact",
        'bound = UserId("") if binding is None else binding.user_id',
        "bound = UserId(None) if binding is None else binding.user_id",
    ): _NOBODY,
    (
        "facts._binding_fact",
        'bound = UserId("") if binding is None else binding.user_id',
        'bound = UserId("XXXX") if binding is None else binding.user_id',
    ): _NOBODY,
}
"""Function, the line as it is, the line as it was changed: why no caller can tell."""


@attrs.frozen
class Mutant:
    """One change in one function.

    Attributes:
        where: The module and the function's qualified name.
        before: The changed lines as they are.
        after: The same lines, changed.
        source: The changed function.
    """

    where: str
    before: str
    after: str
    source: str = attrs.field(repr=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """What `EQUIVALENT` lists."""
        return self.where, self.before, self.after

    def __str__(self) -> str:
        return f"{self.where}\n    - {self.before}\n    + {self.after}"


def configure() -> None:
    """Load mutmut's settings from a folder of ours: it reads a file, and needs one name in it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "setup.cfg").write_text("[mutmut]\nsource_paths = curae_lifecycle\n")
        os.chdir(folder)
        config()
        os.chdir(ROOT)


def mutants_of(name: str) -> list[Mutant]:
    """Every mutant of a module, in the order of its source."""
    path = ROOT / "curae_lifecycle" / f"{name}.py"
    # mutmut leaves decorated functions alone, and a property is a plain function underneath.
    source = path.read_text(encoding="utf-8").replace("    @property\n", "")
    module, mutations, _, _ = create_mutations(str(path), source)
    names: dict[libcst.CSTNode, str] = {}
    for statement in module.body:
        if isinstance(statement, libcst.FunctionDef):
            names[statement] = statement.name.value
        elif isinstance(statement, libcst.ClassDef):
            for member in statement.body.body:
                if isinstance(member, libcst.FunctionDef):
                    names[member] = f"{statement.name.value}.{member.name.value}"
    made = []
    for mutation in mutations:
        function = mutation.contained_by_top_level_function
        if function not in names:
            continue
        if only_for_readers(function, mutation.original_node, mutation.mutated_node):
            continue
        bare = function.with_changes(decorators=())
        changed = bare.deep_replace(mutation.original_node, mutation.mutated_node)
        old, new = (module.code_for_node(each).strip() for each in (bare, changed))
        before, after = difference(old, new)
        made.append(Mutant(f"{name}.{names[function]}", before, after, new))
    return made


def only_for_readers(
    function: libcst.FunctionDef, original: libcst.CSTNode, mutated: libcst.CSTNode
) -> bool:
    """Whether a mutant changes nothing but what a person or a type checker reads.

    Three kinds: a sentence of an exception (its facts are attributes and are pinned, its words
    may change), the type that `cast` names, and a last case that `assert_never` proves empty.
    """
    if isinstance(original, libcst.Match):
        gone = [case for case in original.cases if case not in mutated.cases]
        return len(gone) == 1 and any(is_call(node, "assert_never") for node in every_node(gone[0]))
    if is_call(original, "assert_never"):
        return True
    if isinstance(original, libcst.SimpleString) and " " in original.value:
        told = [node for node in every_node(function) if raises(node)]
        if any(node is original for each in told for node in every_node(each)):
            return True
    calls = [node for node in every_node(function) if is_call(node, "cast")]
    if any(original is node for call in calls for node in every_node(call.args[0])):
        return True
    return is_call(original, "cast") and mutated.args[-1].value is original.args[-1].value


def raises(node: libcst.CSTNode) -> bool:
    """Whether it makes an exception, or is one's constructor calling that of its base."""
    if not isinstance(node, libcst.Call):
        return False
    if isinstance(node.func, libcst.Attribute):
        return node.func.attr.value == "__init__"
    return isinstance(node.func, libcst.Name) and node.func.value.endswith("Error")


def every_node(node: libcst.CSTNode) -> Iterator[libcst.CSTNode]:
    """A node and all below it."""
    yield node
    for child in node.children:
        yield from every_node(child)


def is_call(node: libcst.CSTNode, name: str) -> bool:
    """Whether it is a call of a function by its name."""
    return isinstance(node, libcst.Call) and node.func.deep_equals(libcst.Name(name))


def difference(old: str, new: str) -> tuple[str, str]:
    """The lines that differ, without their indentation."""
    removed, added = [], []
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line.startswith("- "):
            removed.append(line[2:].strip())
        elif line.startswith("+ "):
            added.append(line[2:].strip())
    return " ".join(removed), " ".join(added)


def function_of(where: str) -> FunctionType:
    """The function object that everybody calls, also those who imported it by name."""
    name, *parts = where.split(".")
    found: object = importlib.import_module(f"curae_lifecycle.{name}")
    for part in parts:
        found = vars(found)[part]
    found = getattr(found, "__func__", getattr(found, "fget", found))
    assert isinstance(found, FunctionType)
    return found


def activate(mutant: Mutant) -> None:
    """Give the function the mutant's code, in this process."""
    function = function_of(mutant.where)
    name, *classes, _ = mutant.where.split(".")
    module: ModuleType = sys.modules[f"curae_lifecycle.{name}"]
    source = mutant.source
    for each in classes:
        # Inside a class, so that `super()` finds its cell.
        source = f"class {each}:\n" + "".join(f"    {line}\n" for line in source.splitlines())
    flags = __future__.annotations.compiler_flag
    scratch: dict[str, object] = {}
    code = compile(source, f"<mutant of {mutant.where}>", "exec", flags, dont_inherit=True)
    exec(code, vars(module), scratch)  # noqa: S102 - the mutant is the point
    made: object = next(iter(scratch.values()))
    for part in mutant.where.split(".")[2:]:
        made = vars(made)[part]
    made = getattr(made, "__func__", made)
    assert isinstance(made, FunctionType)
    function.__code__ = made.__code__
    function.__defaults__ = made.__defaults__
    function.__kwdefaults__ = made.__kwdefaults__


class Trial:
    """A pytest plugin: instead of running the tests once, run them against every mutant."""

    def __init__(self, mutants: list[Mutant], jobs: int) -> None:
        self.mutants = mutants
        self.jobs = jobs
        self.survivors: list[Mutant] = []
        self.callers: dict[Place, dict[pytest.Item, int]] = {}
        self.failure = "the tests were not collected"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Learn which test calls what, then try the mutants, as many at once as allowed."""
        self.failure = ""
        self.observe(session.items)
        waiting = list(enumerate(self.mutants))[::-1]
        running: dict[int, int] = {}
        ends: dict[int, int] = {}
        while not self.failure and (waiting or running):
            while waiting and len(running) < self.jobs:
                number, mutant = waiting.pop()
                running[in_child(lambda mutant=mutant: self.attempt(mutant))] = number
            child, status = os.wait()
            number = running.pop(child)
            ends[number] = status
            if os.waitstatus_to_exitcode(status) == BROKEN:
                self.failure = f"this mutant cannot be tried: {self.mutants[number]}"
        self.survivors = [
            mutant for number, mutant in enumerate(self.mutants) if ends.get(number) == 0
        ]
        return True

    def observe(self, items: list[pytest.Item]) -> None:
        """Run every test as it is, and count its calls of each function of the package."""
        with tempfile.TemporaryDirectory() as folder:
            running = {}
            for share in range(self.jobs):
                told = Path(folder, str(share))
                running[in_child(lambda share=share, told=told: self.watch(items, share, told))] = (
                    told
                )
            while running:
                child, status = os.wait()
                told = running.pop(child)
                if status:
                    self.failure = told.read_text() if told.exists() else "a test crashed"
                    continue
                for number, calls in pickle.loads(told.read_bytes()):  # noqa: S301 - ours
                    for place in calls:
                        self.callers.setdefault(place, {})[items[number]] = sum(calls.values())

    def watch(self, items: list[pytest.Item], share: int, told: Path) -> int:
        """In a process of its own: run every so many-th test under a profiler."""
        home = str(ROOT / "curae_lifecycle")
        seen = []
        for number in range(share, len(items), self.jobs):
            profile = cProfile.Profile(builtins=False)
            profile.enable()
            reports = runtestprotocol(items[number], log=False, nextitem=None)
            profile.disable()
            for report in reports:
                if report.failed:
                    told.write_text(f"{report.nodeid} fails without any mutant\n{report.longrepr}")
                    return 1
            calls = {
                place(entry.code): entry.callcount
                for entry in profile.getstats()
                if entry.code.co_filename.startswith(home)
            }
            seen.append((number, calls))
        told.write_bytes(pickle.dumps(seen))
        return 0

    def attempt(self, mutant: Mutant) -> int:
        """In a process of its own: 1 as soon as a test fails, 0 where none does."""
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        callers = self.callers.get(place(function_of(mutant.where).__code__), {})
        activate(mutant)
        for item in sorted(callers, key=callers.__getitem__):
            if any(report.failed for report in runtestprotocol(item, log=False, nextitem=None)):
                return 1
        return 0


Place = tuple[str, int]
"""A function's file and first line."""


def place(code: CodeType) -> Place:
    """Where a function is, as another process would say it."""
    return code.co_filename, code.co_firstlineno


BROKEN: Final = 70


def in_child(run: Callable[[], int]) -> int:
    """Fork: the child runs and ends with what it answered; the parent gets its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = BROKEN
        try:
            status = run()
        except BaseException:  # noqa: BLE001 - a child never goes on as a second parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def main() -> int:
    """Try the mutants and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(MODULES))
    parser.add_argument("--sample", type=int, metavar="N", help="try N of them")
    parser.add_argument("--seed", type=int, default=0, help="which N")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    for name in options.modules:
        if name not in MODULES:
            parser.error(f"{name} is none of {', '.join(MODULES)}")
    names = options.modules or MODULES
    configure()
    mutants = [mutant for name in names for mutant in mutants_of(name)]
    if options.sample is not None:
        chosen = random.Random(options.seed).sample(  # noqa: S311 - a choice, not a secret
            range(len(mutants)), min(options.sample, len(mutants))
        )
        mutants = [mutants[number] for number in sorted(chosen)]
    began = time.monotonic()
    sys.path.insert(0, str(ROOT))
    trial = Trial(mutants, options.jobs)
    arguments = ["-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:terminal"]
    tests = [test for test in TESTS if (ROOT / test).exists()]
    status = pytest.main(
        [*arguments, "-m", "not hypothesis and not heavy", *tests], plugins=[trial]
    )
    if trial.failure:
        print(f"no verdict (pytest ended with {int(status)}): {trial.failure}")
        return 2
    seconds = time.monotonic() - began
    return report(mutants, trial.survivors, seconds, whole=options.sample is None)


def report(mutants: list[Mutant], unnoticed: list[Mutant], seconds: float, *, whole: bool) -> int:
    """Print what became of them, by module; 1 where one survives or the list is wrong."""
    proven = [mutant for mutant in unnoticed if mutant.key in EQUIVALENT]
    survivors = [mutant for mutant in unnoticed if mutant.key not in EQUIVALENT]
    counts = {
        kind: Counter(mutant.where.partition(".")[0] for mutant in group)
        for kind, group in (("all", mutants), ("proven", proven), ("survived", survivors))
    }
    print(f"{'module':<12} {'mutants':>7} {'killed':>7} {'equivalent':>10} {'survived':>8}")
    for name in (*counts["all"], "all"):
        made, same, left = (
            each.total() if name == "all" else each[name] for each in counts.values()
        )
        print(f"{name:<12} {made:>7} {made - same - left:>7} {same:>10} {left:>8}")
    print(f"in {seconds:.0f} s")
    for mutant in survivors:
        print(f"\nsurvived: {mutant}")
    keys = {mutant.key for mutant in mutants}
    wrong = keys & set(EQUIVALENT) - {mutant.key for mutant in proven}
    if whole:
        wrong |= {key for key in EQUIVALENT if key[0].partition(".")[0] in counts["all"]} - keys
    for key in sorted(wrong):
        where, before, after = key
        print(f"\nlisted as equivalent, but killed or no longer made: {where}")
        print(f"    - {before}\n    + {after}")
    return 1 if survivors or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
