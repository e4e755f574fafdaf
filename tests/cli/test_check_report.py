"""The report of `check`: checks run and not run, with reasons, and refused stores."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from curae_lifecycle.cli import check
from curae_lifecycle.cli.main import main
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.stores.sql.engine import SqlDatabase, create_engine
from curae_lifecycle.stores.sql.store import SqlStore
from curae_lifecycle.testing.conformance import CHECKS, DEFAULT_TIMEOUT, Progress, Report
from curae_lifecycle.testing.conformance.results import ProgressCallback
from curae_lifecycle.testing.conformance.store_kit import METHODS, NO_CLOCK, check_store
from tests.cli import planted_stores
from tests.cli.planted_stores import Bare, OwnClock, WithOutbox

PLANTED = "tests.cli.planted_stores"
FAMILIES = ("page", "outbox", "purge", "registration", "permission", "idempotency")
"""Families of checks, some of which need methods besides the contract."""


def of_families(*families: str) -> list[str]:
    return [each.name for each in CHECKS if each.name.partition(".")[0] in families]


FEW = [
    each for each in CHECKS if each.name in of_families("page", "outbox", "purge", "registration")
]
"""The checks of all families that need a method besides the contract."""

WITHOUT_METHODS = [each for each in FEW if not METHODS.keys() & set(each.hooks)]
"""Those of them that need no such method."""


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the run to checks that need a method besides the contract."""
    monkeypatch.setattr(check, "CHECKS", FEW)


FOUND_BY = {
    "PurgeRaises": ("purge.live", "the hook purge raised PermissionError"),
    "PurgeDeletesEverything": ("purge.live", "the server answered 404 NOT_FOUND instead of 200"),
    "EmptyOutbox": ("outbox.connection", "the outbox has no event of the user"),
    "NoPage": ("page.finish", "the hook returned gone instead of done"),
    "EternalPages": ("page.cancel.over", "cancel returned done although the page must have no"),
    "KeepsKeyId": ("registration.other-id", "the request was replayed although its API key"),
    "KeepsWithdrawn": ("registration.withdrawn", "instead of 401 UNAUTHENTICATED"),
}
"""Check that finds each planted bug, and part of its message."""


@pytest.mark.parametrize("name", FOUND_BY)
def test_planted_store_bug_fails_the_kit_check_written_for_it(name: str) -> None:
    make: type[MemoryStore] = getattr(planted_stores, name)
    only, message = FOUND_BY[name]
    report = check_store(make(), only=[only], seed="1")
    (failure,) = report.failed
    assert message in failure.message
    assert not check_store(WithOutbox(), only=[only], seed="1").failed


@pytest.mark.slow
@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("name", FOUND_BY)
def test_check_command_reports_a_planted_bug_and_exits_1(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", f"{PLANTED}:{name}", "--only", "kit"]) == 1
    told = capsys.readouterr().out
    assert FOUND_BY[name][1] in told
    if name == "PurgeRaises":
        assert "  note: the store's method purge raised this\n" in told


@pytest.mark.usefixtures("_few")
def test_check_report_lists_checks_run_and_not_run_with_reasons(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", f"{PLANTED}:Bare", "--only", "kit"]) == 0
    headline, ran, *not_run, last = capsys.readouterr().out.splitlines()
    passed, skipped = len(WITHOUT_METHODS), len(FEW) - len(WITHOUT_METHODS)
    assert headline == f"kit: {passed} checks passed, 0 failed, {skipped} not run"
    assert ran == f"  run: registration {passed}"
    told = " ".join(each.strip() for each in not_run)
    for method in ("withdraw", "hosted_page", "outbox", "purge"):
        assert f": the store has no method {method}" in told
    assert last == f"findings: 0, not run: {skipped}"


@pytest.mark.slow
@pytest.mark.usefixtures("_few")
def test_check_with_strict_exits_1_if_a_check_was_not_run() -> None:
    assert main(["check", f"{PLANTED}:Bare", "--only", "kit", "--strict"]) == 1
    assert main(["check", f"{PLANTED}:WithOutbox", "--only", "kit", "--strict"]) == 0
    assert main(["check", "curae_lifecycle:MemoryStore", "--only", "kit", "--strict"]) == 0


@pytest.mark.parametrize(
    ("options", "timeout"),
    [
        ([], DEFAULT_TIMEOUT),
        (["--limit", "7"], timedelta(seconds=7)),
        (["--limit", "1000000000"], timedelta(seconds=1_000_000_000)),
    ],
)
def test_check_limit_option_is_the_timeout_of_each_kit_check(
    options: list[str], timeout: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[timedelta | None] = []

    def note(
        store: object,
        *,
        only: list[str],
        timeout: timedelta | None = None,
        progress: ProgressCallback,
    ) -> Report:
        del store, progress
        given.append(timeout)
        return Report(passed=tuple(only), failed=(), not_run=(), seed="1")

    monkeypatch.setattr(check, "check_store", note)
    assert main(["check", f"{PLANTED}:Bare", "--only", "kit", *options]) == 0
    assert given == [timeout]


@pytest.mark.parametrize("seconds", ["1000000001", "99999999999999"])
def test_check_limit_above_1000000000_seconds_exits_2(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check", f"{PLANTED}:Bare", "--only", "kit", "--limit", seconds])
    assert "--limit: must be 1,000,000,000 or less" in capsys.readouterr().err


@pytest.mark.slow
def test_every_kit_check_runs_on_store_with_all_optional_methods() -> None:
    report = check_store(MemoryStore(), seed="1")
    assert not report.failed, str(report)
    assert not report.not_run, str(report)
    assert set(report.passed) == {each.name for each in CHECKS}


def test_report_of_a_skipped_kit_check_names_the_missing_method() -> None:
    report = check_store(Bare(), only=of_families(*FAMILIES), seed="1")
    assert not report.failed, str(report)
    for each in report.not_run:
        (hooked,) = [one for one in CHECKS if one.name == each.check]
        methods = {METHODS[hook] for hook in hooked.hooks if hook in METHODS}
        assert each.reason == f"the store has no method {', '.join(sorted(methods))}"


@pytest.mark.slow
def test_kit_skips_deadline_checks_if_store_clock_cannot_be_set() -> None:
    told = list[Progress]()
    report = check_store(OwnClock(), only=of_families(*FAMILIES), seed="1", progress=told.append)
    assert not report.failed, str(report)
    assert {each.check: each.reason for each in report.not_run} == dict.fromkeys(
        ("page.finish.over", "page.cancel.over", "purge.within-a-day", "purge.over"), NO_CLOCK
    )
    assert "page.finish" in report.passed
    assert "purge.live" in report.passed
    assert "outbox.connection" in report.passed
    assert len(told) == len(report.passed)


@pytest.mark.slow
def test_sql_store_passes_the_hosted_page_and_outbox_checks(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'curae.db'}")
    store = SqlStore(SqlDatabase(engine))
    store.create_tables()
    report = check_store(store, only=of_families(*FAMILIES), seed="1")
    engine.dispose()
    assert not report.failed, str(report)
    assert {each.reason for each in report.not_run} == {NO_CLOCK}
    assert {"outbox.account", "page.finish", "purge.live", "registration.other-id"} <= {
        *report.passed
    }


# --- Factories ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("name", ["make_async_store", "make_store_in_coroutine"])
def test_async_store_factory_is_awaited_by_check(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", f"{PLANTED}:{name}", "--only", "kit", "--strict"]) == 0
    headline = f"kit: {len(FEW)} checks passed, 0 failed, 0 not run\n"
    assert capsys.readouterr().out.startswith(headline)


@pytest.mark.slow
def test_check_simulation_purges_an_async_store(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "_HOURS", 8)
    options = ["--only", "simulation", "--seeds", "1", "--strict"]
    assert main(["check", f"{PLANTED}:make_async_store", *options]) == 0
    assert " 0 purged" not in capsys.readouterr().out


REFUSED = {
    "store_in_context": "is not a store: it has no method register, caller_of, load, commit; the "
    "callable must return the store itself",
    "same_store": "MemoryStore is not empty at the second call; each call must return a new empty "
    "store, with an empty database",
    "same_async_store": "AsyncWithMethods is not empty at the second call; each call must return",
    "store_with_messages": "WithOutbox is not empty at the first call",
}


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("name", REFUSED)
def test_check_exits_2_unless_the_factory_gives_new_empty_stores(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", f"{PLANTED}:{name}", "--only", "kit"])
    assert stopped.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"{PLANTED}:{name}: " in told or name == "store_in_context"
    assert REFUSED[name] in told


@pytest.mark.usefixtures("_few")
def test_check_reports_an_exception_of_the_store_factory(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["check", f"{PLANTED}:failing_factory", "--only", "kit"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("kit: raised ConnectionRefusedError: no database\n")
