"""A run of the pure packages without access to anything else, with a report.

`python -m tests.proof.purity run` runs every public function of these packages under an audit hook,
with every clock and source of randomness replaced by one that raises. A profiler counts the
functions that ran and compares every argument before and after the call. `import` imports the
package so; `print` prints everything that must be equal in every process. At the end a run is
sabotaged on purpose, and reports what it noticed.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import random
import secrets
import socket
import subprocess
import sys
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Final, Protocol, cast

import attrs

from curae_lifecycle.cli.table_formats import to_json
from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.tables import Table
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.web.events import asyncapi
from curae_lifecycle.web.openapi import openapi
from docs.generate import tables, vectors
from tests.proof.exercise import lines, the_rest
from tests.support.paths import ROOT

# --- Watched functions -----------------------------------------------------------------------


def pure_rooms() -> list[str]:
    """Return the packages that the import contract calls pure."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {each["id"]: each for each in project["tool"]["importlinter"]["contracts"]}
    rooms: list[str] = contracts["pure"]["source_modules"]
    return rooms


def modules_of(room: str) -> list[str]:
    """Return a package and every module in it."""
    package = importlib.import_module(room)
    found = pkgutil.walk_packages(package.__path__, f"{room}.")
    return sorted([room, *(module.name for module in found)])


PURE: Final = [name for room in pure_rooms() for name in modules_of(room)]
REPLAY: Final = list(modules_of("curae_lifecycle.replay"))
"""The modules of `replay`."""

STORES: Final = modules_of("curae_lifecycle.stores")
"""Modules of the stores; the few that may read a clock are listed."""

WITH_EXTRAS: Final = (
    "curae_lifecycle.stores.django",
    "curae_lifecycle.stores.redis",
    "curae_lifecycle.stores.sql.engine_factory",
    "curae_lifecycle.stores.sql.engine",
    "curae_lifecycle.stores.sql.postgresql",
)
"""Packages on third-party libraries, whose imports are not restricted."""


def is_for_others(member: FunctionType | type) -> bool:
    """Return whether others implement it: an abstract function or a protocol."""
    return getattr(member, "__isabstractmethod__", False) or getattr(member, "_is_protocol", False)


def plain_functions(owner: type | ModuleType) -> Iterator[FunctionType]:
    """Yield the public functions of a module or class, including properties."""
    for name, member in cast("dict[str, object]", dict(vars(owner))).items():
        if name.startswith("_"):
            continue
        held: object = member
        if isinstance(member, classmethod | staticmethod):
            held = cast("object", member.__func__)
        elif isinstance(member, property):
            held = member.fget
        held = getattr(held, "__wrapped__", held)
        if isinstance(held, FunctionType) and not is_for_others(held):
            yield held
        if isinstance(member, type) and member.__module__ == owner.__name__:
            yield from () if is_for_others(member) else plain_functions(member)


def functions_of(module: str) -> list[FunctionType]:
    """Return the public functions that a module itself defines."""
    found = plain_functions(importlib.import_module(module))
    own = [function for function in found if function.__module__ == module]
    return [function for function in own if not function.__name__.startswith("_")]


def public() -> dict[CodeType, str]:
    """Map the code of every public function and method of the pure packages to its name."""
    return {
        function.__code__: f"{function.__module__}.{function.__qualname__}"
        for module in PURE
        for function in functions_of(module)
    }


SCALARS: Final = (str, int, float, bytes, datetime, Enum, type(None))
"""Types of values without parts."""


def image(value: object) -> str:
    """Return the whole content of a value as text; an unchanged value has an equal one."""
    kind = type(value)
    if isinstance(value, SCALARS):
        return f"{kind.__name__} {value!r}"
    if attrs.has(kind):
        held = [image(getattr(value, field.name)) for field in attrs.fields(kind)]
        return f"{kind.__name__}({', '.join(held)})"
    if isinstance(value, Table):
        return f"{value.name} {image(value.rows)} {image(dict(value))}"
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return "{" + ", ".join(f"{image(key)}: {image(each)}" for key, each in pairs) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}[{', '.join(map(image, cast('list[object]', value)))}]"
    if isinstance(value, set | frozenset):
        return f"set[{', '.join(sorted(map(image, cast('set[object]', value))))}]"
    return f"{type(value).__name__} {id(value)}"


class Watch:
    """A profiler of the functions that ran, and of those that changed an argument."""

    def __init__(self, watched: dict[CodeType, str]) -> None:
        # By identity: the hash of a code object is computed anew from all its parts.
        self.names = {id(code): name for code, name in watched.items()}
        self.watched = watched
        self.ran: set[str] = set()
        self.mutators: set[str] = set()
        self._open: dict[FrameType, tuple[tuple[object, ...], str]] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event not in {"call", "return"}:
            return
        name = self.names.get(id(frame.f_code))
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


# --- Closed access ---------------------------------------------------------------------------

IO: Final = (
    *("open", "os.", "shutil.", "tempfile.", "glob.", "pathlib.", "mmap.", "fcntl.", "sqlite3."),
    *("socket.", "ssl.", "http.", "urllib.", "ftplib.", "smtplib.", "subprocess.", "pty."),
    *("signal.", "ctypes.", "_thread.", "time.", "syslog.", "webbrowser.", "builtins.input"),
    "import",
)
"""The audit events of access outside the process."""

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
    """Yield every clock and source of randomness that Python code can replace."""
    yield from ((time, name) for name in dir(time) if name.removesuffix("_ns") in CLOCKS)
    yield from ((random, name) for name in random.__all__)
    yield from ((secrets, name) for name in secrets.__all__)
    yield from ((os, name) for name in ("urandom", "getrandom") if hasattr(os, name))
    yield from ((uuid, name) for name in ("uuid1", "uuid4"))


class Anything(Protocol):
    """Any function."""

    def __call__(self, *args: object, **kwargs: object) -> object: ...


def closed(name: str, function: Anything, seen: set[str]) -> Anything:
    def refuse(*given: object, **named: object) -> object:
        # The loop that replays the traffic measures its time; the rules must not.
        if str(sys._getframe(1).f_globals["__name__"]).startswith("curae_lifecycle.stores."):
            return function(*given, **named)
        seen.add(name)
        raise AssertionError(name)

    return refuse


def mutate(given: list[int]) -> None:
    given.append(1)


def sabotaged(name: str) -> None:
    """Do something forbidden that must be noticed under this name."""
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


def watched_run(
    work: Callable[[], None], watch: Watch, io: tuple[str, ...], sabotage: tuple[str, ...]
) -> dict[str, list[str]]:
    """Run with every source closed; return what was seen, and what the sabotage showed."""
    seen: set[str] = set()
    armed = False

    def hook(event: str, _: tuple[object, ...]) -> None:
        if armed and event.startswith(io):
            seen.add(event)

    restore = [(module, name, cast("object", getattr(module, name))) for module, name in sources()]
    sys.addaudithook(hook)
    for module, name, _ in restore:
        setattr(module, name, closed(f"{module.__name__}.{name}", getattr(module, name), seen))
    armed = True
    sys.setprofile(watch)
    try:
        work()
        found = seen | watch.mutators
        for name in sabotage:
            sabotaged(name)
    finally:
        sys.setprofile(None)
        armed = False
        for module, name, value in restore:
            setattr(module, name, value)
    return {"seen": sorted(found), "noticed": sorted((seen | watch.mutators) - found)}


# --- The runs --------------------------------------------------------------------------------


def run_everything() -> dict[str, list[str]]:
    """Run everything without a warm-up, so that every first call is watched."""
    log = lines()

    def work() -> None:
        for line in replay(log, check=True):
            json.dumps(line.answer)
        vectors.files()
        tables.files()
        openapi()
        asyncapi()
        the_rest()

    watched = public()
    watch = Watch(watched | {mutate.__code__: "mutate"})
    seen = watched_run(work, watch=watch, io=IO, sabotage=SABOTAGE)
    names = set(watched.values())
    return seen | {
        "unexercised": sorted(names - watch.ran),
        "ran": sorted(names & watch.ran),
    }


def import_everything() -> dict[str, list[str]]:
    """Import the package afresh: an import may open files and do nothing else."""

    def work() -> None:
        for module in [each for each in sys.modules if each.startswith("curae_lifecycle")]:
            del sys.modules[module]
        for module in PURE + REPLAY + STORES:
            if not module.startswith(WITH_EXTRAS):
                importlib.import_module(module)

    files = ("open", "os.", "import")
    events = tuple(event for event in IO if event not in files)
    return watched_run(work, watch=Watch({}), io=events, sabotage=("time.time",))


def printed() -> Iterator[str]:
    """Yield everything that must be equal in every process: answers, pages, tables."""
    for line in replay(lines(), check=True):
        yield json.dumps(line.answer)
    for name, text in (tables.files() | vectors.files()).items():
        yield name
        yield text
    for table in TABLES.values():
        yield to_json(table)
        yield repr(table.rows)
    yield json.dumps(openapi())
    yield json.dumps(asyncapi())


def child(command: str, seed: str = "random") -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "tests.proof.purity", command],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
        timeout=600,
    ).stdout


def main(command: str) -> None:
    match command:
        case "run":
            text = json.dumps(run_everything())
        case "import":
            text = json.dumps(import_everything())
        case _:
            text = "\n".join((str(hash("a hash seed")), *printed()))
    sys.stdout.buffer.write(text.encode())


@cache
def found(command: str) -> dict[str, list[str]]:
    """Return the report of a run in another process."""
    answer: dict[str, list[str]] = json.loads(child(command))
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
