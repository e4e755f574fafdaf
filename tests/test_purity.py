"""Law 14: same inputs, same outputs; no clock, no randomness, no I/O, no hidden state.

A process of its own runs every public function of the floors that decide, under an audit hook
and with every clock and source of randomness replaced by one that raises. What ran is counted
by a profiler, so that a function nobody runs fails the test; the same profiler looks at every
argument before and after the call.
"""

from __future__ import annotations

import dis
import importlib
import importlib.util
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from enum import Enum
from importlib.abc import InspectLoader
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Final, Protocol, cast

import attrs
import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules import attempt as attempts
from curae_lifecycle.rules import binding as bindings
from curae_lifecycle.rules import connection as rules
from curae_lifecycle.rules import idempotency, ratelimit, triggers, values
from curae_lifecycle.rules import merge as merging
from curae_lifecycle.rules.access import ACCESS
from curae_lifecycle.rules.connection import Actor, Status
from curae_lifecycle.rules.outcomes import Done
from curae_lifecycle.rules.problems import Problem, ProblemCode, type_uri
from curae_lifecycle.rules.tables import Axis, Table
from curae_lifecycle.rules.triggers import TRIGGERS
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service import response as responses
from curae_lifecycle.service.call import Call
from curae_lifecycle.service.decide import decide
from curae_lifecycle.service.rulebook import TABLES, pages
from curae_lifecycle.service.snapshot import Snapshot
from curae_lifecycle.stores import codec
from curae_lifecycle.web import json, openapi, respond, shapes
from tests import server
from tests import test_replay as logs
from tests.strategies import COORDINATE, START, at, pending
from tests.test_table_mutants import SUBJECTS

ROOT: Final = Path(__file__).parent.parent
FLOORS: Final = (
    *("tables", "values", "problems", "outcomes"),
    *("connection", "access", "binding", "session", "idempotency", "ratelimit", "credentials"),
    *("changes", "operations", "facts"),
    *("wire", "http", "openapi"),
)
"""The modules that decide and print, floor by floor."""

ABOVE: Final = ("memory", "replay", "recorded", "pages")
"""Modules above them that may not look at a clock either."""


# --- What is run -----------------------------------------------------------------------------


def log() -> list[bytes]:
    """A log with every kind of line and every kind of answer."""
    base = "connections/{c1.connection.id}"
    named = {"connection": "{c1.connection.id}"}
    buckets: json.Json = [{"name": "platform", "capacity": 40, "refill": 40, "seconds": 60}]
    bad: json.Json = {"appUserId": "user-1", "dataPackages": ["labs"], "more": None}
    # Many, so that a set which is not sorted shows in one process or another.
    many: json.Json = {"appUserId": "user-9", "dataPackages": [f"p{n}" for n in range(16)]}
    twice = '{"appUserId": "user-1", "appUserId": "user-2"}'
    return [
        logs.K1,
        logs.registered("cae_test_k2", environment="test"),
        logs.registered("cae_live_k3", scope="connection:read"),
        logs.written(0, buckets=buckets),
        logs.created(1, key="k-1"),
        logs.created(1, "again", key="k-1"),
        logs.created(1, "other", user="user-2", key="k-1"),
        logs.created(1, None, api_key="cae_test_k2"),
        logs.created(1, None, api_key="cae_live_k3"),
        logs.created(1, None, api_key="nobody"),
        logs.sent(1, "POST", "connections", many, name="many"),
        logs.sent(1, "POST", "connections", bad),
        logs.sent(1, "POST", "connections", twice),
        logs.sent(1, "PUT", "connections"),
        logs.asked(1, **named),
        logs.sent(2, "POST", f"{base}:reconnect", {}),
        logs.fact(3, "connection.authorize", expiresAt=logs.time(600)),
        logs.asked(3, **named),
        logs.asked(3, "vitals", **named),
        logs.got(4),
        logs.sent(5, "POST", f"{base}:reconnect", {}),
        logs.fact(6, "connection.require_action", reason="portal_login"),
        logs.sent(7, "POST", f"{base}:reconnect", {}, name="r1"),
        logs.sent(8, "POST", f"{base}:reconnect", {}, name="r2"),
        logs.fact(9, "connection.expire"),
        logs.sent(10, "POST", f"{base}:revoke", {}),
        logs.fact(11, "connection.revoke", actor="PATIENT"),
        logs.sent(12, "POST", f"{base}:reconnect", {}),
        logs.account(13),
        logs.initiated(14, signup=True),
        logs.fact(15, "handoff.complete"),
        logs.fact(16, "handoff.complete"),
        logs.account(17, unless='"account-active"'),
        logs.initiated(18, "s2"),
        logs.initiated(19, "s3", user="user-2"),
        logs.sent(20, "POST", "curae-connect/graduation-handoff", {"appUserId": "user-2"}),
        logs.sent(20, "POST", "curae-connect/graduation-handoff", {"appUserId": "user-1"}),
        logs.fact(21, "binding.graduate", appUserId="user-2"),
        logs.fact(22, "binding.tombstone"),
        logs.fact(22, "binding.graduate"),
        *(logs.initiated(23, f"l{n}", user="user-3", key=f"l-{n}") for n in range(11)),
        *(logs.got(24) for _ in range(60)),
        logs.written(25),
        b"\xff",
    ]


def replayed() -> Iterator[str]:
    for line in replay(log()):
        yield json.dumps(line.answer, ensure_ascii=True)


def the_rest() -> None:
    """What no log reaches: what servers call for themselves."""
    first = pending()
    ended = triggers.revoke(first, at(1), actor=Actor.APP).value
    merging.merge(ended, first)
    rules.next_deadline(first)
    document: dict[str, json.Json] = shapes.format_connection(ended, at(2), "AUTHORIZED")
    read = shapes.parse_connection(document, environment=Environment.LIVE, app_id=COORDINATE.app_id)
    assert codec.load(rules.Connection, codec.dump(read)) == read
    bound = bindings.provision(None, COORDINATE, values.UserId("u-1"))
    assert isinstance(bound, Done)
    codec.load(bindings.LimitedAccountAppBinding, codec.dump(bound.value))

    key = idempotency.RecordKey(values.ApiKeyId("key-1"), idempotency.parse_key("k-1"))
    mark = idempotency.Fingerprint.of("revoke", "a", "b\nc")
    attempt = idempotency.begin(None, key, mark, START)
    assert isinstance(attempt, idempotency.Attempt)
    running = idempotency.in_flight_record(attempt)
    response = responses.Response(200, (("date", "now"), ("etag", '"1"')), b"{}")
    attempts.renew(running, attempt, at(0.5))
    attempts.complete(running, attempt, response, at(0.5))
    attempts.release(running, attempt, at(0.5))
    attempts.resolve(running, at(1), response=response)
    done = attempts.forget(running, at(1)).value
    assert done is not None
    codec.load(idempotency.Record, codec.dump(done))

    for policy in (ratelimit.ExactLog("log", 1, 60), ratelimit.Bucket("bucket", 1, 1, 60)):
        state = ratelimit.fresh_state(policy)
        charged = ratelimit.admit_one(policy, state, START)
        assert not isinstance(charged, ratelimit.Limited)
        ratelimit.available(policy, charged, START)
        ratelimit.state_expires_at(policy, charged)
        ratelimit.admit((ratelimit.Charge(policy, charged),), START)
        limited = ratelimit.admit_one(policy, charged, START)
        assert isinstance(limited, ratelimit.Limited)
        respond.policy_header(policy)
        respond.limit_header(limited)

    Axis.of("status", Status)
    for table in (TRIGGERS, ACCESS):
        table.to_markdown()
        table.to_json()
    TRIGGERS.to_mermaid()
    problem = Problem(ProblemCode.HANDOFF_LAPSED, (first.id, START))
    shapes.format_problem(problem)
    type_uri(problem.code)
    for name in operations.OperationName:
        openapi.problem_codes(name)
    call = read.read(server.request("revoke"), server.CALLER, START)
    assert isinstance(call, Call)
    operation_name(call.operation)
    assert not decide(call, Snapshot(connection=first), at(1)).replayed
    openapi.openapi()


def every_cell() -> None:
    """Every call of the oracles: each cell of each table."""
    for of in SUBJECTS:
        of.oracle()


# --- Watching it -----------------------------------------------------------------------------


def modules(names: tuple[str, ...]) -> list[ModuleType]:
    return [importlib.import_module(f"curae_lifecycle.{name}") for name in names]


def plain_functions(owner: type | ModuleType) -> Iterator[FunctionType]:
    """The public functions that stand in a module or a class, properties included."""
    for name, member in cast("dict[str, object]", dict(vars(owner))).items():
        if name.startswith("_"):
            continue
        held: object = member
        if isinstance(member, classmethod | staticmethod):
            held = cast("object", member.__func__)
        elif isinstance(member, property):
            held = member.fget
        if isinstance(held, FunctionType):
            yield held
        elif isinstance(member, type) and member.__module__ == owner.__name__:
            yield from plain_functions(member)


def public() -> dict[CodeType, str]:
    """Every public function and method of the floors, by its code."""
    return {
        function.__code__: f"{function.__module__}.{function.__qualname__}"
        for module in modules(FLOORS)
        for function in plain_functions(module)
        if function.__module__ == module.__name__
    }


def image(value: object) -> str:
    """Everything that a value holds, as text; equal before and after, it was not touched."""
    kind = type(value)
    if attrs.has(kind):
        held = [image(getattr(value, field.name)) for field in attrs.fields(kind)]
        return f"{kind.__name__}({', '.join(held)})"
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return "{" + ", ".join(f"{image(key)}: {image(each)}" for key, each in pairs) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}[{', '.join(map(image, cast('list[object]', value)))}]"
    if isinstance(value, set | frozenset):
        return f"set[{', '.join(sorted(map(image, cast('set[object]', value))))}]"
    if isinstance(value, Table):
        return f"{value.name} {image(value.rows)} {image(dict(value.cells))}"
    if isinstance(value, str | int | float | bytes | datetime | Enum | None):
        return f"{type(value).__name__} {value!r}"
    return f"{type(value).__name__} {id(value)}"


class Watch:
    """Which functions ran, and which of them left an argument other than they found it."""

    def __init__(self, watched: dict[CodeType, str]) -> None:
        self.watched = watched
        self.ran: set[str] = set()
        self.mutators: set[str] = set()
        self._open: dict[FrameType, tuple[tuple[object, ...], str]] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        name = self.watched.get(frame.f_code)
        if name is None:
            return
        if event == "call":
            self.ran.add(name)
            code = frame.f_code
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            given = tuple(cast("dict[str, object]", frame.f_locals)[each] for each in names)
            self._open[frame] = given, image(given)
        elif event == "return":
            given, before = self._open.pop(frame)
            if image(given) != before:
                self.mutators.add(name)


IO: Final = (
    *("open", "os.", "shutil.", "tempfile.", "glob.", "pathlib.", "mmap.", "fcntl.", "sqlite3."),
    *("socket.", "ssl.", "http.", "urllib.", "ftplib.", "smtplib.", "subprocess.", "pty."),
    *("signal.", "ctypes.", "_thread.", "time.", "syslog.", "webbrowser.", "builtins.input"),
    "import",
)
"""The audit events that say: something outside the process was touched, or may be."""

CLOCKS: Final = (
    "time",
    "monotonic",
    "perf_counter",
    "process_time",
    "localtime",
    "gmtime",
    "sleep",
)


def sources() -> Iterator[tuple[ModuleType, str]]:
    """Every clock and source of randomness that Python code can replace."""
    yield from ((time, name) for name in dir(time) if name.removesuffix("_ns") in CLOCKS)
    yield from ((random, name) for name in random.__all__)
    yield from ((secrets, name) for name in secrets.__all__)
    yield from ((os, name) for name in ("urandom", "getrandom") if hasattr(os, name))
    yield from ((uuid, name) for name in ("uuid1", "uuid4"))


class Anything(Protocol):
    """A function of anything."""

    def __call__(self, *args: object, **kwargs: object) -> object: ...


def closed(name: str, seen: set[str]) -> Anything:
    def refuse(*_: object, **__: object) -> object:
        seen.add(name)
        raise AssertionError(name)

    return refuse


def mutate(given: list[int]) -> None:
    given.append(1)


def sabotaged(name: str) -> None:
    """Do what must not be done, and be noticed under this name."""
    match name:
        case "open":
            Path(os.devnull).read_bytes()
        case "os.listdir":
            os.listdir(ROOT)  # noqa: PTH208 - the event that is meant
        case "socket.__new__":
            socket.socket().close()
        case "mutate":
            mutate([])
        case _:
            module, _, function = name.partition(".")
            with suppress(AssertionError):
                cast("Anything", getattr(importlib.import_module(module), function))()


SABOTAGE: Final = (
    *("open", "os.listdir", "socket.__new__", "mutate"),
    *("time.time", "time.monotonic", "time.perf_counter", "time.perf_counter_ns"),
    *("random.random", "random.choice", "os.urandom", "uuid.uuid1", "uuid.uuid4"),
    *("secrets.token_hex", "secrets.token_bytes"),
)


def watched_run(work: Callable[[], None], watch: Watch, io: tuple[str, ...]) -> list[str]:
    """Run with every source closed; what was seen that should not be."""
    seen: set[str] = set()
    armed = False

    def hook(event: str, _: tuple[object, ...]) -> None:
        if armed and event.startswith(io):
            seen.add(event)

    restore = [(module, name, cast("object", getattr(module, name))) for module, name in sources()]
    sys.addaudithook(hook)
    for module, name, _ in restore:
        setattr(module, name, closed(f"{module.__name__}.{name}", seen))
    armed = True
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
        armed = False
        for module, name, value in restore:
            setattr(module, name, value)
    return sorted(seen)


def run_everything(sabotage: tuple[str, ...]) -> dict[str, list[str]]:
    """Nothing is warmed up: the first call of everything is made here."""

    def work() -> None:
        for _ in replayed():
            pass
        the_rest()
        every_cell()
        for name in sabotage:
            sabotaged(name)

    watched = public()
    watch = Watch(watched | {mutate.__code__: "mutate"})
    seen = watched_run(work, watch, IO)
    names = set(watched.values())
    return {
        "seen": seen,
        "mutators": sorted(watch.mutators),
        "unexercised": sorted(names - watch.ran),
        "ran": sorted(names & watch.ran),
    }


def import_everything(sabotage: tuple[str, ...]) -> dict[str, list[str]]:
    """Import the package afresh; an import itself opens files, and may do nothing else."""

    def work() -> None:
        for module in [each for each in sys.modules if each.startswith("curae_lifecycle")]:
            del sys.modules[module]
        modules(FLOORS + ABOVE)
        for name in sabotage:
            sabotaged(name)

    files = ("open", "os.", "import")
    events = tuple(event for event in IO if event not in files)
    return {"seen": watched_run(work, Watch({}), events)}


def printed() -> Iterator[str]:
    """Everything that must not depend on the process: answers, pages, tables."""
    yield from replayed()
    for name, text in pages().items():
        yield name
        yield text
    for table in TABLES.values():
        yield table.to_json()
        yield repr(table.rows)
    yield json.dumps(openapi.openapi())


def child(*arguments: str, seed: str = "random") -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "tests.test_purity", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout


def main(command: str, *sabotage: str) -> None:
    match command:
        case "run":
            text = json.dumps(run_everything(sabotage))
        case "import":
            text = json.dumps(import_everything(sabotage))
        case _:
            text = "\n".join((str(hash("a hash seed")), *printed()))
    sys.stdout.buffer.write(text.encode())


def found(*arguments: str) -> dict[str, list[str]]:
    answer: dict[str, list[str]] = json.loads(child(*arguments))
    return answer


# --- Tests -----------------------------------------------------------------------------------


def test_every_public_function_runs_and_none_touches_the_world_or_its_arguments() -> None:
    run = found("run")
    assert run["unexercised"] == []
    assert run["seen"] == []
    assert run["mutators"] == []
    assert run["ran"] == sorted(public().values())
    assert len(run["ran"]) >= 108, "the search for functions finds fewer than it did"


def test_the_search_finds_functions_methods_and_properties() -> None:
    names = set(public().values())
    assert {
        "curae_lifecycle.rules.connection.revoke",
        "curae_lifecycle.rules.idempotency.Fingerprint.of",
        "curae_lifecycle.rules.problems.Problem.details",
        "curae_lifecycle.web.wire.RepeatedObject.repeated",
    } <= names
    for module in modules(FLOORS):
        own = [
            function
            for function in plain_functions(module)
            if function.__module__ == module.__name__
        ]
        assert own or module.__name__ == "curae_lifecycle.rules.outcomes", "it holds types alone"


def test_whatever_touches_the_world_or_an_argument_is_noticed() -> None:
    run = found("run", *SABOTAGE)
    assert set(SABOTAGE) == {*run["seen"], *run["mutators"]}


def test_an_import_reads_no_clock_and_draws_no_random_number() -> None:
    assert found("import") == {"seen": []}
    assert found("import", "time.time") == {"seen": ["time.time"]}


def test_a_function_that_does_not_run_is_noticed() -> None:
    watched = {run_everything.__code__: "idle", mutate.__code__: "mutate"}
    watch = Watch(watched)
    sys.setprofile(watch)
    mutate([])
    sys.setprofile(None)
    assert watch.ran == {"mutate"}
    assert watch.mutators == {"mutate"}


CLOCKS_AND_CHANCE: Final = frozenset(
    {
        *("now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns"),
        *("perf_counter", "perf_counter_ns", "process_time", "localtime", "gmtime", "sleep"),
        *("urandom", "getrandom", "random", "Random", "SystemRandom", "randint", "randrange"),
        *("getrandbits", "choice", "choices", "shuffle", "sample", "uuid1", "uuid4"),
        *("secrets", "token_bytes", "token_hex", "token_urlsafe", "getnode"),
        *("os", "io", "sys", "socket", "subprocess", "tempfile", "pathlib", "environ", "getenv"),
    }
)
"""No code of the package names any of these, as a global, an attribute or an import."""

OF_THE_PROCESS: Final = frozenset(
    {"id", "hash", "open", "input", "print", "breakpoint", "__import__", "eval", "exec"}
)
"""Builtins that nothing calls: an attribute may bear such a name, a global may not."""


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def impurities(code: CodeType) -> set[str]:
    """What the code names that it may not, and the globals that it rebinds."""
    impure = set(code.co_names) & CLOCKS_AND_CHANCE
    for instruction in dis.get_instructions(code):
        name = str(instruction.argval)
        if instruction.opname == "LOAD_GLOBAL" and name in OF_THE_PROCESS:
            impure.add(name)
        if instruction.opname in {"STORE_GLOBAL", "DELETE_GLOBAL"}:
            impure.add(f"global {name}")
    return impure


@pytest.mark.parametrize("name", FLOORS + ABOVE)
def test_no_code_names_a_clock_a_source_of_randomness_or_the_process(name: str) -> None:
    spec = importlib.util.find_spec(f"curae_lifecycle.{name}")
    assert spec is not None
    assert isinstance(spec.loader, InspectLoader)
    whole = spec.loader.get_code(spec.name)
    assert whole is not None
    places = {code.co_qualname: impurities(code) for code in codes(whole)}
    assert {place: names for place, names in places.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("def f(): return datetime.now(UTC)", "now"),
        ("def f(): return [date.today() for _ in x]", "today"),
        ("class C:\n def f(self): return self.clock.utcnow()", "utcnow"),
        ("from time import time as late", "time"),
        ("import os", "os"),
        ("f = lambda: uuid.uuid4()", "uuid4"),
        ("def f(x): return hash(x)", "hash"),
        ("def f():\n global count\n count = 1", "global count"),
    ],
)
def test_code_that_names_one_is_noticed(source: str, name: str) -> None:
    whole = compile(source, "<a sample>", "exec")
    assert name in {each for code in codes(whole) for each in impurities(code)}


def test_answers_and_pages_are_the_same_in_every_process_whatever_the_hash_seed() -> None:
    seeds = ("0", "1", "12345")
    hashes, _, texts = zip(
        *(child("print", seed=seed).partition(b"\n") for seed in seeds), strict=True
    )
    assert len(set(hashes)) == 3, "the seeds differ"
    assert texts[0] == texts[1] == texts[2]
    assert "\n".join(printed()).encode() == texts[0], "this process has a history, and it is equal"
    for status in (200, 201, 304, 400, 401, 403, 404, 409, 422, 429):
        assert f'"status": {status},'.encode() in texts[0]
    for outcome in ("done", "ignored", "refused"):
        assert f'"outcome": "{outcome}"'.encode() in texts[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([frozenset({1})], [frozenset({1, 2})]),
        ((1, "1"), (1, 1)),
        (pending(), attrs.evolve(pending(), updated_at=at(1))),
    ],
)
def test_an_image_tells_values_apart(before: object, after: object) -> None:
    assert image(before) != image(after)
    assert image(before) == image(before)


if __name__ == "__main__":
    main(*sys.argv[1:])
