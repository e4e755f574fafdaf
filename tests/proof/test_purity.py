"""Tests of law 14: same inputs, same outputs; no clock, no randomness, no I/O, no hidden state."""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec
from types import CodeType
from typing import Final

import attrs
import pytest

from tests.proof.purity import (
    PURE,
    REPLAY,
    SABOTAGE,
    STORES,
    Watch,
    child,
    found,
    functions_of,
    image,
    mutate,
    printed,
    public,
    pure_rooms,
    run_everything,
)
from tests.support.strategies import at, pending


@pytest.mark.slow
def test_every_public_function_runs_without_side_effects() -> None:
    run = found("run")
    assert run["unexercised"] == []
    assert run["seen"] == []
    assert run["ran"] == sorted(public().values())
    assert len(run["ran"]) >= 180, "the search for functions finds fewer than it did"


def test_purity_check_finds_every_function_of_pure_packages() -> None:
    assert pure_rooms() == [f"curae_lifecycle.{room}" for room in ("rules", "service", "web")]
    names = set(public().values())
    assert {
        "curae_lifecycle.rules.triggers.revoke",
        "curae_lifecycle.rules.idempotency.Fingerprint.of",
        "curae_lifecycle.rules.problems.Problem.details",
        "curae_lifecycle.service.operations.revoke.Revoke.decide",
        "curae_lifecycle.service.facts.revoked.Revoked.judge",
        "curae_lifecycle.web.json.DuplicateKeyObject.first_duplicate",
        "curae_lifecycle.web.openapi.document.openapi",
    } <= names
    # The `__init__` of a package has only a docstring; these modules have only values and types.
    silent = {module for module in PURE if not functions_of(module)}
    assert {name for name in silent if not hasattr(import_module(name), "__path__")} == {
        "curae_lifecycle.rules.outcomes",
        "curae_lifecycle.rules.wire_status",
        "curae_lifecycle.service.effects",
        "curae_lifecycle.service.facts.registry",
        "curae_lifecycle.service.problem_details",
        "curae_lifecycle.service.rate_keys",
        "curae_lifecycle.service.settings",
    }


@pytest.mark.slow
def test_purity_check_detects_a_side_effect_or_changed_argument() -> None:
    assert found("run")["noticed"] == sorted(SABOTAGE)


@pytest.mark.slow
def test_importing_the_package_reads_no_clock_and_no_randomness() -> None:
    assert found("import") == {"seen": [], "noticed": ["time.time"]}


def test_purity_check_records_only_the_functions_that_ran() -> None:
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
        *("secrets", "token_bytes", "token_hex", "token_urlsafe", "randbelow", "getnode"),
        *("os", "io", "sys", "socket", "subprocess", "tempfile", "pathlib", "environ", "getenv"),
    }
)
"""Names that no deciding or storing code may use, as a global, an attribute or an import."""

OF_THE_PROCESS: Final = frozenset(
    {"id", "hash", "open", "input", "print", "breakpoint", "__import__", "eval", "exec"}
)
"""Builtins that may not be called; an attribute may have such a name, a global may not."""

WHERE_NEEDED: Final[dict[str, dict[str, set[str]]]] = {
    # The hash of a key for a dict, which stays within this process.
    "curae_lifecycle.service.rate_keys": {
        "BucketKey.__hash__": {"hash"},
        "LimitKey.__hash__": {"hash"},
    },
    # Randomness and waits of a server around its store.
    "curae_lifecycle.stores.clock": {"utc_now": {"now"}},
    "curae_lifecycle.stores.deadline": {
        "<module>": {"monotonic", "time"},
        "seconds_left": {"monotonic"},
        "deadline_scope": {"monotonic"},
    },
    "curae_lifecycle.stores.django.database": {
        "<module>": {"monotonic", "time"},
        "DjangoDatabase._watched": {"monotonic"},
    },
    "curae_lifecycle.stores.django.socket_watchdog": {
        "<module>": {"monotonic", "os", "socket", "time"},
        "SocketWatchdog._run": {"monotonic"},
        "SocketWatchdog.watch": {"os", "socket"},
    },
    "curae_lifecycle.stores.new_ids": {
        "<module>": {"secrets", "randbelow", "token_urlsafe", "uuid4"},
        "RandomIds.__call__": {"token_urlsafe", "uuid4"},
        "random_microseconds": {"randbelow"},
    },
    "curae_lifecycle.stores.retry": {
        "<module>": {"random", "time"},
        "Retrier._repeat": {"monotonic", "random", "sleep", "time"},
        "_wait": {"sleep", "time"},
        "async_retrier": {"sleep"},
    },
    "curae_lifecycle.stores.sql.async_drivers": {
        "PsycopgConnection.close": {"socket"},
    },
    "curae_lifecycle.stores.sql.drivers": {"<module>": {"socket"}, "socket_of": {"socket"}},
    "curae_lifecycle.stores.sql.engine": {"<module>": {"socket"}},
    "curae_lifecycle.stores.sql.engine_factory": {"<module>": {"socket"}},
    "curae_lifecycle.stores.sql.forks": {"<module>": {"os"}},
    "curae_lifecycle.stores.sql.pool": {
        "<module>": {"monotonic", "os", "socket", "time"},
        "_end_sending": {"socket"},
        "_probe_host": {"socket"},
        "duplicate_socket": {"os", "socket"},
        "wait_for_server_blocking": {"monotonic"},
    },
    "curae_lifecycle.stores.sql.session_settings": {
        "<module>": {"os"},
        "postgresql_options": {"environ", "os"},
    },
    "curae_lifecycle.stores.request_loop": {
        "<module>": {"monotonic", "time"},
        "answer_fact": {"monotonic"},
    },
    "curae_lifecycle.stores.sweeping": {
        "<module>": {"monotonic", "time"},
        "_Sweep._run": {"monotonic"},
    },
    "curae_lifecycle.stores.sql.clock": {
        "<module>": {"time"},
        "now_values": {"time", "time_ns"},
    },
    "curae_lifecycle.stores.sql.postgresql": {
        "<module>": {"monotonic", "time"},
        "AsyncBoundedConnection.wait": {"monotonic", "socket"},
        "BoundedConnection.wait": {"monotonic"},
        "_wait_until": {"monotonic"},
        "wait_without_cancel": {"socket"},
    },
    "curae_lifecycle.stores.sql.transactions": {
        "<module>": {"random"},
        "run_while": {"random", "sleep"},
    },
    "curae_lifecycle.stores.sql.outbox_worker": {
        "<module>": {"random", "secrets", "time", "token_hex"},
        "_Worker._failed": {"random"},
        "_Worker._has_time": {"monotonic", "time"},
        "_Worker.batch": {"monotonic", "time", "token_hex"},
    },
}
"""The exceptions: functions that may use some of the names."""


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def impurities(code: CodeType) -> set[str]:
    """Return the forbidden names in the code, and the globals that it rebinds."""
    impure: set[str] = set()
    before = ""
    for instruction in dis.get_instructions(code):
        step, name = instruction.opname, str(instruction.argval)
        named = instruction.opcode in dis.hasname and not step.startswith(("STORE", "DELETE"))
        read = name == "now" and before.startswith("LOAD_FAST") and not calls(step, instruction.arg)
        if name in CLOCKS_AND_CHANCE and named and not read:
            impure.add(name)
        if step == "LOAD_GLOBAL" and name in OF_THE_PROCESS:
            impure.add(name)
        if step in {"STORE_GLOBAL", "DELETE_GLOBAL"}:
            impure.add(f"global {name}")
        before = step
    return impure


def calls(step: str, argument: int | None) -> bool:
    """Return whether an attribute is loaded for a call; reading `now` of an argument is allowed."""
    # From 3.12 on one instruction does both, and its lowest bit marks a call.
    combined = sys.version_info >= (3, 12) and bool((argument or 0) & 1)
    return step == "LOAD_METHOD" or combined


@pytest.mark.parametrize("name", PURE + REPLAY + STORES)
def test_module_mentions_a_clock_or_randomness_only_if_listed(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert isinstance(spec.loader, InspectLoader)
    whole = spec.loader.get_code(spec.name)
    assert whole is not None
    places = {code.co_qualname: impurities(code) for code in codes(whole)}
    assert {place: names for place, names in places.items() if names} == WHERE_NEEDED.get(name, {})


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("def f(): return datetime.now(UTC)", "now"),
        ("def f(): return [date.today() for _ in x]", "today"),
        ("def f(datetime): return datetime.now(UTC)", "now"),
        ("clock = datetime.now", "now"),
        ("class C:\n def f(self): return self.clock.utcnow()", "utcnow"),
        ("from time import time as late", "time"),
        ("import os", "os"),
        ("f = lambda: uuid.uuid4()", "uuid4"),
        ("def f(x): return hash(x)", "hash"),
        ("def f():\n global count\n count = 1", "global count"),
    ],
)
def test_purity_check_detects_code_that_names_a_clock(source: str, name: str) -> None:
    whole = compile(source, "<a sample>", "exec")
    assert name in {each for code in codes(whole) for each in impurities(code)}


def test_purity_check_allows_an_attribute_named_now() -> None:
    whole = compile("def f(asked): return asked.now", "<a sample>", "exec")
    assert {each for code in codes(whole) for each in impurities(code)} == set()


@pytest.mark.slow
def test_package_output_is_the_same_under_every_hash_seed() -> None:
    seed = "12345" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
    hashed, _, text = child("print", seed=seed).partition(b"\n")
    assert hashed.decode() != str(hash("a hash seed")), "the seeds differ"
    assert "\n".join(printed()).encode() == text, "this process has a history, and it is equal"
    for status in (200, 201, 304, 400, 401, 403, 404, 409, 422, 429):
        assert f'"status": {status},'.encode() in text
    for outcome in ("done", "ignored", "refused"):
        assert f'"outcome": "{outcome}"'.encode() in text


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
def test_purity_check_detects_each_kind_of_argument_change(before: object, after: object) -> None:
    assert image(before) != image(after)
    assert image(before) == image(before)
