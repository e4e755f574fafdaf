"""Tests of the conformance kit against correct and wrong servers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import ClassVar

import attrs
import pytest

from curae_lifecycle.replay.log import replay
from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.members import Member
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS
from curae_lifecycle.service.rulebook import TABLES
from curae_lifecycle.service.settings import Settings
from curae_lifecycle.stores.memory import MemoryStore
from curae_lifecycle.testing.conformance import (
    CHECKS,
    HOOKS,
    UNSEEN,
    UNSEEN_LAWS,
    ApiKeyRequest,
    AsyncServer,
    Report,
    Request,
    Response,
    Server,
    async_conformance_tests,
    checks,
    conformance_tests,
    run,
    run_async,
)
from curae_lifecycle.testing.conformance.store_server import server_for_store
from curae_lifecycle.testing.laws import LAWS
from tests.support.eighth import EIGHT, Relabel
from tests.support.kit import RIGHT, Forgetful, Given, Reference, asynchronous, written
from tests.support.paths import ROOT

test_reference = conformance_tests(lambda: Reference().server())


def passes_everything(report: Report, *missing: str) -> None:
    assert not report.failed, str(report)
    assert {each.reason for each in report.not_run} == {f"needs {name}" for name in missing}
    assert len(report.passed) + len(report.not_run) == len(CHECKS)


@pytest.mark.slow
def test_kit_passes_a_correct_server_and_names_checks_not_run() -> None:
    report = run(Reference().server(), seed="1")
    passes_everything(report, "environment")
    assert [each.check for each in report.not_run] == ["permission.wrong-environment"]


@pytest.mark.slow
@pytest.mark.parametrize("step", [12, pytest.param(1, marks=pytest.mark.heavy)])
def test_kit_checks_on_a_shared_server_pass_in_any_order(step: int) -> None:
    server, names = Reference().server(), [check.name for check in CHECKS[::step]]
    assert not run(server, only=names).failed
    report = run(server, only=names[::-1])
    assert report.passed == tuple(name for name in names if name in report.passed)
    assert report.passed
    assert not report.failed


@pytest.mark.heavy
@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("waits", [False, True])
def test_kit_passes_correct_servers_of_every_kind(kind: str, *, waits: bool) -> None:
    server = RIGHT[kind]().server()
    seed = f"{kind} {waits}"
    awaited = asynchronous(server)
    report = asyncio.run(run_async(awaited, seed=seed)) if waits else run(server, seed=seed)
    if server.environment is None:
        passes_everything(report, "environment")
    else:
        assert not report.failed, str(report)


@pytest.mark.slow
def test_kit_check_is_not_run_and_names_the_hook_it_lacks() -> None:
    full = Reference().server()
    report = run(Server(full.send, full.make_key), seed="1")
    assert not report.failed, str(report)
    needed = {check.name: check.hooks for check in CHECKS if check.hooks}
    assert {each.check: each.reason for each in report.not_run} == {
        name: f"needs {', '.join(hooks)}" for name, hooks in needed.items()
    }
    assert set(report.passed) == {check.name for check in CHECKS if not check.hooks}


@pytest.mark.slow
def test_kit_check_that_needs_more_time_than_allowed_is_not_run() -> None:
    full = attrs.evolve(Reference().server(), max_time_per_check=timedelta(minutes=2))
    some = ["idempotency.retention", "limit.half-open", "model.side-by-side"]
    report = run(full, only=some, seed="1")
    assert not report.failed, str(report)
    reasons = {each.check: each.reason for each in report.not_run}
    assert reasons["idempotency.retention"] == "needs a max_time_per_check of 1 day, 0:00:00"
    assert "limit.half-open" in report.passed
    assert "model.side-by-side" in report.passed


@pytest.mark.slow
def test_kit_skips_only_outcome_checks_of_hooks_returning_none() -> None:
    reference = Reference()
    server = reference.server()

    def silent(function: Callable[Given, object] | None) -> Callable[Given, None]:
        assert function is not None

        def hook(*args: Given.args, **kwargs: Given.kwargs) -> None:
            function(*args, **kwargs)

        return hook

    quiet = attrs.evolve(
        server,
        authorize=silent(server.authorize),
        complete_handoff=silent(server.complete_handoff),
        graduate=silent(server.graduate),
        tombstone=silent(server.tombstone),
    )
    report = run(quiet, seed="1")
    assert not report.failed, str(report)
    assert {each.check for each in report.not_run} == {
        "permission.wrong-environment",
        "binding.complete-sign-up.active.other",
        "binding.graduate.active.other",
        "completion.existing-active",
        "completion.landed.other",
    }


def test_unknown_kit_check_name_raises_an_error() -> None:
    with pytest.raises(KeyError, match="no such check: nonsense"):
        run(Reference().server(), only=["nonsense", "request.route"])


@pytest.mark.slow
def test_kit_sends_the_same_requests_for_the_same_seed() -> None:
    sent: list[list[Request]] = [[], []]
    for each in sent:
        reference = Reference()

        def recorded(
            request: Request, to: list[Request] = each, server: Reference = reference
        ) -> Response:
            to.append(request)
            return server.send(request)

        names = [check.name for check in CHECKS if "at-once" not in check.name]
        run(attrs.evolve(reference.server(), send=recorded), only=names[::5], seed="1")
    assert sent[0] == sent[1]


def test_every_rule_has_a_kit_check_or_a_reason_for_having_none() -> None:
    rules = {row.rule for table in TABLES.values() for row in table.rows}
    shown = {rule for check in CHECKS for rule in check.rules}
    assert shown | UNSEEN.keys() == rules
    assert not shown & UNSEEN.keys()
    assert len(shown) > 150
    assert all(UNSEEN.values())


def test_every_law_has_a_kit_check_or_a_reason_for_having_none() -> None:
    shown = {law for check in CHECKS for law in check.laws}
    assert shown | UNSEEN_LAWS.keys() == set(LAWS)
    assert not shown & UNSEEN_LAWS.keys()


def test_kit_check_names_are_unique_and_match_their_rules() -> None:
    names = [check.name for check in CHECKS]
    rules = {row.rule for table in TABLES.values() for row in table.rows}
    assert len(set(names)) == len(names) > 300
    for check in CHECKS:
        assert set(check.hooks) <= set(HOOKS), check.name
        assert check.shows.endswith("."), check.name
        if check.name in rules:
            assert check.name in check.rules


def test_send_raising_on_revoke_fails_only_checks_that_revoke() -> None:
    reference = Reference()

    def send(request: Request) -> Response:
        if request.target.endswith(":revoke"):
            raise ZeroDivisionError
        return reference.send(request)

    server = attrs.evolve(reference.server(), send=send)
    report = run(server, seed="1", only=["law-02.revoked-once", "law-02.at-once", "request.limit"])
    assert report.passed == ("request.limit",)
    for failure in report.failed:
        assert "send raised ZeroDivisionError()" in failure.message
        assert "law 2:" in failure.message
    again = asyncio.run(
        run_async(asynchronous(server), only=["law-02.revoked-once", "law-02.at-once"])
    )
    assert [each.check for each in again.failed] == [each.check for each in report.failed]


def test_kit_failure_lists_earlier_steps_and_hides_api_keys() -> None:
    reference = Reference()
    given: list[str] = []

    def make_key(wanted: ApiKeyRequest) -> str:
        given.append(reference.make_key(wanted))
        return given[-1]

    def send(request: Request) -> Response:
        return attrs.evolve(reference.send(request), status=500)

    server = attrs.evolve(reference.server(), make_key=make_key, send=send)
    for failure in run(server, seed="1").failed:
        assert "\n  after: " in failure.message
        assert not any(key in failure.message for key in given)
    (one,) = run(server, seed="1", only=["request.body.accepted"]).failed
    assert "after: make_key\n  after: POST /api/sdk/v1/connections Idempotency-Key: " in one.message
    assert """b'{"appUserId": "xxx""" in one.message


def test_hook_that_raises_fails_its_kit_check() -> None:
    def authorize(connection_id: str, lifetime: timedelta | None) -> str:
        raise LookupError(connection_id, lifetime)

    server = attrs.evolve(Reference().server(), authorize=authorize)
    report = run(server, seed="1", only=["standing.active"])
    assert "the hook authorize raised LookupError" in report.failed[0].message
    assert "where: authorize" in str(report)


@pytest.mark.slow
def test_failed_model_check_shows_a_log_that_replay_can_check() -> None:
    full = Forgetful().server()
    requests_alone = Server(full.send, full.make_key, pass_time=full.pass_time)
    report = run(requests_alone, seed="1", only=["model.side-by-side"])
    account = report.failed[0].message
    lines = [line.strip() for line in account.splitlines() if line.strip().startswith("{")]
    assert 6 <= len(lines) <= 12
    assert "cae_live_app_1" in account
    answers = list(replay((line.encode() for line in lines), check=True))
    assert not any(line.broken for line in answers)
    assert [bool(line.divergences) for line in answers] == [False] * (len(lines) - 1) + [True]


def test_model_check_still_shows_a_log_after_one_shrinking_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("curae_lifecycle.testing.conformance.model.TRIALS", 1)
    report = run(Forgetful().server(), seed="1", only=["model.side-by-side"])
    assert "the last line of this log" in report.failed[0].message


def test_kit_skips_two_environment_check_if_server_serves_one() -> None:
    server = asynchronous(RIGHT["one environment"]().server())
    report = asyncio.run(run_async(server, only=["request.ownership.environment"], seed="1"))
    assert report.not_run[0].reason == "the server serves one environment"


@pytest.mark.slow
def test_conformance_docs_page_runs_and_names_every_hook() -> None:
    page = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
    namespace: dict[str, object] = {}
    for program in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(program, namespace)  # noqa: S102 - the page's own code
    report = namespace["report"]
    assert isinstance(report, Report)
    assert len(report.passed) > 100
    assert set(re.findall(r"^\| `(\w+)", page, re.MULTILINE)) == set(HOOKS)
    by_name = {check.name: check for check in CHECKS}
    for test in (namespace["test_conformance"], namespace["test_async_conformance"]):
        assert callable(test)
        test(by_name["request.limit"])


def test_pytest_kit_closes_the_server_after_pass_skip_or_fail() -> None:
    by_name = {check.name: check for check in CHECKS}
    ended: list[str] = []

    @contextmanager
    def made() -> Iterator[Server]:
        yield Forgetful().server()
        ended.append("sync")

    @asynccontextmanager
    async def made_async() -> AsyncIterator[AsyncServer]:
        assert asyncio.get_running_loop().is_running()
        yield asynchronous(Forgetful().server())
        ended.append("async")

    for test in (
        conformance_tests(made),
        async_conformance_tests(made_async),
        conformance_tests(lambda: Forgetful().server()),
        async_conformance_tests(lambda: asynchronous(Forgetful().server())),
    ):
        test(by_name["request.route"])
        with pytest.raises(pytest.skip.Exception, match="not run: needs environment"):
            test(by_name["permission.wrong-environment"])
        with pytest.raises(pytest.fail.Exception, match="law 7 is broken"):
            test(by_name["recovery.revoked.pending"])
    assert ended == ["sync"] * 3 + ["async"] * 3


SPOILT: dict[str, tuple[dict[str, object], str]] = {
    "an id in upper case": ({"connection__id": str.upper}, "connection.id is not a UUID"),
    "an empty text": ({"label": ""}, "label is not a non-empty string"),
    "a number for a text": ({"label": 7}, "label is not a non-empty string"),
    "no time": ({"relabelledAt": "yesterday"}, "relabelledAt is not an RFC 3339 time"),
    "null where there is a time": ({"relabelledAt": None}, "relabelledAt is not an RFC 3339 time"),
    "no time or null": ({"forgottenAt": "yesterday"}, "forgottenAt is not an RFC 3339 time"),
    "nobody's word": ({"by": "PARENT"}, "by is not one of APP, PATIENT, PLATFORM, UPSTREAM"),
    "a flag for a number": ({"times": True}, "times is not an integer"),
    "a part that is none": ({"connection": "c"}, "not an object"),
}


def only_relabel(spoil: Callable[[Response], Response]) -> str:
    reference = Reference(Settings(operations=EIGHT))

    def send(request: Request) -> Response:
        answer = reference.send(request)
        return spoil(answer) if request.target.endswith(":relabel") else answer

    server = attrs.evolve(reference.server(), send=send)
    report = run(server, seed="1", only=["operation.relabel"], operations=EIGHT)
    return "" if report.passed else report.failed[0].message


@pytest.mark.slow
def test_kit_runs_its_checks_on_a_custom_operation_and_passes() -> None:
    report = run(Reference(Settings(operations=EIGHT)).server(), seed="1", operations=EIGHT)
    assert not report.failed, str(report)
    assert {"operation.relabel", "law-13.nothing-internal"} <= set(report.passed)
    assert len(report.passed) == len(checks(EIGHT)) - 1
    assert "operation.relabel" not in {check.name for check in CHECKS}
    assert only_relabel(lambda answer: answer) == ""


@pytest.mark.parametrize("how", SPOILT)
def test_kit_fails_a_wrong_member_of_a_custom_response(how: str) -> None:
    changed, what = SPOILT[how]
    assert what in only_relabel(lambda answer: written(answer, changed))


def test_kit_fails_custom_operation_of_wrong_http_status_or_type() -> None:
    def more(answer: Response) -> Response:
        body = {**json.loads(answer.body), "userId": "u-1"}
        return attrs.evolve(answer, body=json.dumps(body).encode())

    assert "200 instead of 202" in only_relabel(lambda answer: attrs.evolve(answer, status=200))
    assert "the members" in only_relabel(more)
    assert "Content-Type is []" in only_relabel(lambda answer: attrs.evolve(answer, headers=()))


@pytest.mark.parametrize(
    "name",
    [
        *("request.credentials", "request.route", "permission.scope-missing", "request.ownership"),
        *("request.key-required", "request.key-invalid", "request.body.malformed-id"),
        *(
            f"request.body.{what}"
            for what in ("no-json", "no-object", "member-missing", "packages")
        ),
        *(f"request.body.member-{what}" for what in ("unknown", "repeated", "null")),
        *(f"order.{gate}" for gate in ("credentials", "scope", "body", "idempotency", "ownership")),
        *("idempotency.replay.relabel", "idempotency.at-once.relabel"),
    ],
)
def test_kit_fails_a_custom_operation_that_skips_a_gate(name: str) -> None:
    reference = Reference(Settings(operations=EIGHT))
    whole = json.dumps({"label": "word"}).encode()

    def send(request: Request) -> Response:
        answer = reference.send(request)
        if ":relabel" not in request.target.lower():
            return answer
        return attrs.evolve(answer, status=202, body=whole, headers=(("x-at", str(reference.now)),))

    server = attrs.evolve(reference.server(), send=send)
    (failure,) = run(server, seed="1", only=[name], operations=EIGHT).failed
    assert "relabel" in failure.message


def test_kit_fails_a_server_that_lacks_a_custom_operation() -> None:
    report = run(Reference().server(), seed="1", only=["operation.relabel"], operations=EIGHT)
    assert "404 NOT_FOUND instead of 202" in report.failed[0].message
    with pytest.raises(KeyError, match=r"no such check: operation\.relabel"):
        run(Reference().server(), only=["operation.relabel"])


def no_word(value: object) -> str:
    raise ArgumentError("password", f"another one than {type(value).__name__}")


class Guarded(Relabel):
    rule: ClassVar = attrs.evolve(Relabel.rule, body=(Member("password", no_word),))


def test_kit_skips_an_operation_with_a_member_without_example() -> None:
    operations: tuple[type[Operation], ...] = (*OPERATIONS, Guarded)
    server = Reference(Settings(operations=operations)).server()
    report = run(server, seed="1", only=["operation.relabel"], operations=operations)
    assert report.not_run[0].reason == "the kit knows no value of the member password"


def test_pytest_kit_test_of_a_custom_operation_passes() -> None:
    test = conformance_tests(
        lambda: Reference(Settings(operations=EIGHT)).server(), operations=EIGHT
    )
    by_name = {check.name: check for check in checks(EIGHT)}
    test(by_name["operation.relabel"])


def test_kit_skips_effect_checks_of_an_outbox_without_effects() -> None:
    reference = Reference()

    def outbox() -> list[dict[str, Json]]:
        return [each for each in reference.left() if "id" in each]

    server = attrs.evolve(reference.server(), outbox=outbox)
    report = run(server, only=["outbox.reissue", "outbox.ids"], seed="1")
    assert report.passed == ("outbox.ids",)
    assert [each.reason for each in report.not_run] == ["the outbox holds no effects"]


def test_check_of_finishing_a_replaced_page_needs_no_cancel_hook() -> None:
    server = attrs.evolve(Reference().server(), cancel=None)
    report = run(server, only=["page.finish.replaced", "page.cancel"], seed="1")
    assert report.passed == ("page.finish.replaced",)
    assert [each.reason for each in report.not_run] == ["needs cancel"]


def test_kit_passes_a_server_that_purges_ended_connections() -> None:
    reference = Reference()
    reference.world = MemoryStore(ended_retention=timedelta(days=1), clock=reference.clock)
    report = run(reference.server(), only=["purge.over", "purge.live"], seed="1")
    assert report.passed == ("purge.live", "purge.over"), str(report)
    assert len(reference.world._connections) < 10


def test_kit_has_all_hooks_but_environment_for_a_memory_store() -> None:
    whole = server_for_store(MemoryStore())
    assert {each for each in HOOKS if getattr(whole, each) is None} == {"environment"}
    only = ["registration.withdrawn", "purge.live", "race.reissue.authorize", "bucket.refills"]
    only += ["access.ends-with-a-revocation", "clock.late.revoke", "page.finish", "outbox.ids"]
    report = run(whole, only=only, seed="1")
    assert set(report.passed) == set(only), str(report)
