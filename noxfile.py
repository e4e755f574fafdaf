"""The checks of this project: `nox -l` lists them, and `nox -s NAME` runs one.

`nox -s submission` runs what every change must pass, in at most 15 minutes on two cores: the sessions
of `EVERY`, and one row of `SHARES`. `nox -s release` runs all sessions. A session installs the Debian
packages that it needs and does not find, which only root may do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Final

import nox

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "tests"]

ROOT: Final = Path(__file__).parent
PACKAGE: Final = "curae_lifecycle"
PROJECT: Final = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
OLDEST, *LATER = [each.split()[-1] for each in PROJECT["classifiers"] if ":: 3." in each]


def is_here(version: str) -> bool:
    """Return whether this machine has a version of Python; pyenv's command for it may not run."""
    command = shutil.which(f"python{version}")
    return (
        command is not None
        and subprocess.run([command, "-V"], capture_output=True, check=False).returncode == 0
    )


NEWEST: Final = next((each for each in reversed(LATER) if is_here(each)), OLDEST)

DEBIAN: Final = {
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "curl": "curl",
    "mariadb-install-db": "mariadb-server",
    "node": "nodejs",
    "npm": "npm",
}
"""Programs, each with its Debian package."""

DATABASES: Final = {
    "asyncmy": "mariadb",
    "asyncpg": "postgresql",
    "mariadb": "mariadb",
    "postgresql": "postgresql",
    "redis": "redis",
}
"""The databases that the programs of extras need."""

EXTRAS: Final = list(PROJECT["optional-dependencies"])

MARKERS: Final[dict[str, Iterable[str]]] = {
    "browser": ("chromedriver", "chromium", "node", "npm"),
    "engines": (),
    "frameworks": (),
    "mariadb": ("mariadb-install-db",),
    "node": ("node", "npm"),
    "peers": (),
}
"""The markers of tests that need more than Python, and the programs that they need."""

GROUPS: Final = {
    "browser": "docs",
    "frameworks": "frameworks",
    "node": "docs",
    "peers": "peers",
}
"""The dependency groups that these tests need."""

QUICK: Final = f"not (slow or heavy or {' or '.join(MARKERS)})"
"""The tests that need Python only, and little time."""

CORE: Final = "rules", "service", "web", "replay", "stores/memory", "proof/vectors"
"""The folders whose tests run on every Python."""

SLOW: Final = ("docs", "lab", "proof", "stores", "testing")
"""The folders whose slow tests take minutes; those of all other folders run together."""


# --- Each submission --------------------------------------------------------------------------


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling, Markdown, and the imports between rooms."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.run("lint-imports", "--no-cache")
    session.run("pymarkdown", "scan", "-r", *map(str, ROOT.glob("*.md")), "docs")


@nox.session(python=OLDEST)
@nox.parametrize("command", ["mypy --strict", "pyright"], ids=["mypy", "pyright"])
def types(session: nox.Session, command: str) -> None:
    """Check all types with one of the two type checkers."""
    install(session, "lint")
    session.run(*command.split())


@nox.session(python=OLDEST, venv_backend="venv")
def tour(session: nox.Session) -> None:
    """Run the README's first command as printed, then the tutorial."""
    need(session, "curl")
    session.run("sh", "-c", readme_commands()[0], external=True)
    session.run("python", "-m", "tests.docs.tutorial")


@nox.session(python=OLDEST, venv_backend="venv")
def tests(session: nox.Session) -> None:
    """Run the README's second command as printed: the tests."""
    session.run("sh", "-c", readme_commands()[1], external=True)


@nox.session(python=OLDEST)
def pages(session: nox.Session) -> None:
    """Check that the generated pages are current."""
    need(session, "node", "npm")
    install(session)
    session.run("python", "-m", "docs.generate", "--check")


@nox.session(python=OLDEST)
def site(session: nox.Session) -> None:
    """Build the site with its playground; a broken link is an error."""
    need(session, "node", "npm")
    install(session, "docs", extras="cli,examples,prometheus,testing")
    out = f"{session.create_tmp()}/html"
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-b", "html", "docs", out)
    session.run("python", "docs/playground/build.py", out)


@nox.session(python=[OLDEST, *LATER])
def wheel(session: nox.Session) -> None:
    """Test the wheel on one Python: with the newest attrs, or on the oldest with the oldest."""
    tree = Path(session.create_tmp(), "tree").absolute()
    shutil.rmtree(tree, ignore_errors=True)
    # The tests stand without the package beside them, so that they import the installed one.
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", PACKAGE))
    session.run("uv", "build", "--quiet", "--out-dir", str(tree / "dist"), str(ROOT))
    (built,) = (tree / "dist").glob("*.whl")
    exactly = "==" if session.python == OLDEST else ">="
    pins = [each.replace(">=", exactly) for each in PROJECT["dependencies"]]
    session.install(str(built), *pins)
    session.chdir(tree)
    session.run("curae-lifecycle", "--version")
    session.run("python", "-m", PACKAGE, "tour", silent=True)
    session.run("python", "-c", f"import {PACKAGE} as it; open(it.__path__[0] + '/py.typed')")
    session.install(f"{built}[test]", *pins)
    session.run(
        "python", "-m", "pytest", "-n", "0", "-m", QUICK, *(f"tests/{each}" for each in CORE)
    )


# --- Each submission in turn ------------------------------------------------------------------


@nox.session(python=OLDEST)
@nox.parametrize("folder", [*SLOW, "others"], ids=[*SLOW, "others"])
def slow(session: nox.Session, folder: str) -> None:
    """Run the tests that the README's command leaves out: those of one folder, or all others."""
    install(session)
    wanted = f"(slow or heavy or postgres) and not ({' or '.join(MARKERS)})"
    others = ["tests", *(f"--ignore=tests/{each}" for each in SLOW)]
    tests = session.posargs or ([f"tests/{folder}"] if folder in SLOW else others)
    session.run("python", "-m", "pytest", "-m", wanted, *tests)


@nox.session(python=OLDEST)
@nox.parametrize("marker", list(MARKERS), ids=list(MARKERS))
def marked(session: nox.Session, marker: str) -> None:
    """Run the tests with a marker, which need more than Python."""
    need(session, *MARKERS[marker])
    install(session, *([GROUPS[marker]] if marker in GROUPS else []))
    session.run("python", "-m", "pytest", "-m", marker, *(session.posargs or ["tests"]))


@nox.session(python=OLDEST)
@nox.parametrize("name", EXTRAS, ids=EXTRAS)
def extra(session: nox.Session, name: str) -> None:
    """Run the program of an extra with it alone: newest Python and releases, then the oldest."""
    install(session)
    databases = [DATABASES[name]] if name in DATABASES else []
    if "mariadb" in databases:
        need(session, "mariadb-install-db")
    for version, resolution in ((NEWEST, "highest"), (OLDEST, "lowest-direct")):
        folder = str(Path(session.create_tmp(), resolution))
        own = f"{folder}/bin/python"
        session.run("uv", "venv", "--quiet", "--clear", f"--python={version}", folder)
        alone = (f"--python={own}", f"--resolution={resolution}", f".[{name}]")
        session.run("uv", "pip", "install", "--quiet", *alone)
        program = (own, "tests/project/extras.py", name, folder)
        session.run("python", "-m", "tests.support.databases", *databases, "--", *program)


@nox.session(python=OLDEST)
def thorough(session: nox.Session) -> None:
    """Run the property tests with four times as many examples."""
    install(session)
    wanted = f"hypothesis and {QUICK}"
    session.run("python", "-m", "pytest", "--hypothesis-profile=thorough", "-m", wanted, "tests")


@nox.session(python=OLDEST)
def coverage(session: nox.Session) -> None:
    """Measure the lines and branches that the tests reach."""
    install(session)
    session.run("coverage", "run", "-m", "pytest", "-m", QUICK, "tests")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=OLDEST)
def proofs(session: nox.Session) -> None:
    """Prove the arithmetic, and search for counterexamples."""
    install(session, "symbolic")
    session.run("python", "-m", "tests.proof.symbolic.prove")
    session.run("python", "-m", "tests.proof.symbolic.search")


@nox.session(python=OLDEST)
def mutants(session: nox.Session) -> None:
    """Run the tests against a sample of mutants of the code."""
    install(session, "mutation")
    sample = session.posargs or ["--sample", "60", "--seed", "1"]
    session.run("python", "benchmarks/mutants.py", *sample)


# --- All together -----------------------------------------------------------------------------

EVERY: Final = (
    *("tests", "types(pyright)", "types(mypy)", "site", "lint", "pages", "tour"),
    *(f"wheel-{OLDEST}", f"wheel-{NEWEST}"),
)
"""The sessions of every submission."""

SHARES: Final = (
    "slow(testing) thorough wheel-3.12 extra(cli) extra(django)",
    "slow(proof) wheel-3.13 extra(redis) extra(sql)",
    "slow(stores) marked(peers) wheel-3.14 extra(aiosqlite)",
    "slow(others) marked(frameworks) wheel-3.15 extra(servers)",
    "slow(docs) marked(mariadb) extra(asyncmy)",
    "slow(lab) marked(browser) extra(examples)",
    "marked(node) extra(postgresql) extra(mariadb)",
    "coverage mutants proofs extra(asyncpg) extra(prometheus) extra(testing) extra(test)",
)
"""The other sessions: every submission runs one row, so eight run all of them."""

ON_DEMAND: Final = frozenset({"marked(engines)", "submission", "release"})
"""The sessions of no submission."""

TWO_CORES: Final = frozenset({"coverage", "marked", "mutants", "slow", "tests", "thorough"})
"""The sessions that use both cores: they run one after the other, all others two at a time."""

STATE: Final = Path.home() / ".cache/curae-lifecycle/share"
"""Holds the number of the share to run next. It changes when a share has passed."""


@nox.session(python=False)
def submission(session: nox.Session) -> None:
    """Run what every submission must pass, and this one's share of the rest."""
    named = {*EVERY, *ON_DEMAND, *" ".join(SHARES).split()}
    if forgotten := [each for each in all_sessions() if each not in named]:
        session.error(f"in no layer: {', '.join(forgotten)}")
    commits = subprocess.run(
        ["git", "rev-list", "--count", "HEAD"], cwd=ROOT, capture_output=True, check=True
    )
    number = int(STATE.read_bytes() if STATE.exists() else commits.stdout) % len(SHARES)
    STATE.parent.mkdir(parents=True, exist_ok=True)
    STATE.write_text(str(number))
    print(f"share {number + 1} of {len(SHARES)}: {SHARES[number]}", flush=True)
    run_all(session, dict.fromkeys([*EVERY, *SHARES[number].split()]))
    STATE.write_text(str(number + 1))


@nox.session(python=False)
def release(session: nox.Session) -> None:
    """Run every session."""
    run_all(session, [each for each in all_sessions() if each not in {"submission", "release"}])


def run_all(session: nox.Session, names: Iterable[str]) -> None:
    """Run sessions in processes of their own, and fail if one of them failed."""
    started = monotonic()
    wide = [each for each in names if each.partition("(")[0] in TWO_CORES]
    ended = [run(each) for each in wide]
    with ThreadPoolExecutor(2) as pool:
        ended += pool.map(run, [each for each in names if each not in wide])
    print()
    for name, passed, seconds in ended:
        print(f"{seconds:6.0f} s  {name}", "" if passed else f"FAILED; alone: nox -s '{name}'")
    print(f"{monotonic() - started:6.0f} s  in all")
    if failed := [name for name, passed, _ in ended if not passed]:
        session.error(f"failed: {', '.join(failed)}")


def run(name: str) -> tuple[str, bool, float]:
    """Run a session, print its output or, if it passed, the end of it; return what run_all sums up."""
    started = monotonic()
    command = [sys.executable, "-m", "nox", "--session", name]
    ran = subprocess.run(
        command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = ran.stdout.decode(errors="replace").splitlines()
    print(f"\n== {name}", *(lines if ran.returncode else lines[-6:]), sep="\n", flush=True)
    return name, ran.returncode == 0, monotonic() - started


def all_sessions() -> list[str]:
    """Return the names of all sessions."""
    # Without a filter, the list holds only the sessions that nox runs by default.
    command = [sys.executable, "-m", "nox", "--list", "--json", "--keywords", "not nothing"]
    listed = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    return [each["session"] for each in listed]


# --- Helpers ----------------------------------------------------------------------------------


def readme_commands() -> list[str]:
    """Return the two commands of the README's first code block."""
    block = (ROOT / "README.md").read_text("utf-8").split("```sh\n")[1].split("```")[0]
    first, second = block.splitlines()
    return [first, second]


def need(session: nox.Session, *programs: str) -> None:
    """Install the Debian packages of the programs that are missing."""
    if missing := [DEBIAN[each] for each in programs if shutil.which(each) is None]:
        apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")
        session.run(*apt, "update", external=True)
        session.run(*apt, "install", "-y", "--no-install-recommends", *missing, external=True)


def install(session: nox.Session, *groups: str, extras: str = "test") -> None:
    """Install the package with extras and dependency groups."""
    session.install(f".[{extras}]", *(f"--group={each}" for each in groups))
