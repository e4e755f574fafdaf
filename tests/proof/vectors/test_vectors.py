"""Tests of the vectors against the rules and against hand-written results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import cast

import pytest

from curae_lifecycle.rules.access import Granted, decide_access
from curae_lifecycle.rules.binding import LimitedAccountAppBinding
from curae_lifecycle.rules.chain import is_live
from curae_lifecycle.rules.connection import Connection, Status, next_deadline, standing
from curae_lifecycle.rules.idempotency import Record, record_standing
from curae_lifecycle.rules.merge import merge
from curae_lifecycle.rules.session import CuraeConnectSession
from curae_lifecycle.rules.values import format_time, parse_time
from curae_lifecycle.service.gates import REQUEST_GATES, Ask
from curae_lifecycle.service.json_schema import Json
from curae_lifecycle.service.operations.reconnect import Reconnect
from curae_lifecycle.service.rulebook import TABLES, find_rule
from curae_lifecycle.stores.codec import Storable, load
from curae_lifecycle.stores.formats import FORMAT, newest_format
from docs.generate.vectors import VERSION, Verdict, files
from docs.generate.vectors.cases import cell_id, stored
from tests.proof.oracles.oracle import UNREACHABLE_CASES
from tests.proof.vectors import expected_connections, expected_requests
from tests.proof.vectors.expected_requests import ACCEPTABLE, FAULTS, SYNTAX
from tests.support.paths import ROOT

FOLDER = ROOT / "docs" / "vectors"
# The committed files, which another test compares with a build: building them takes a second, in each
# process that collects these tests.
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))}

Object = dict[str, Json]
DOCUMENTS = cast("dict[str, Object]", {name: json.loads(text) for name, text in TEXTS.items()})
CASES = {
    cast("str", case["id"]): case
    for document in DOCUMENTS.values()
    for case in cast("list[Object]", document["cases"])
}

# --- The documents -------------------------------------------------------------------------


@pytest.mark.slow
def test_generating_the_vector_files_twice_gives_equal_texts() -> None:
    assert files() == files() == TEXTS


def test_vectors_readme_names_every_vector_file() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"`([a-z-]+\.json)`", readme)) == sorted(TEXTS)


def test_every_vector_file_has_exactly_its_documented_members() -> None:
    for file, document in DOCUMENTS.items():
        assert document.keys() == {"name", "version", "law", "cases"}
        assert f"{document['name']}.json" == file
        assert document["version"] == VERSION == 1
        assert re.fullmatch(r"[A-Z][^\n]+\.", cast("str", document["law"]))
        assert TEXTS[file].endswith("}\n")


def test_every_vector_case_has_exactly_its_documented_members() -> None:
    for case in CASES.values():
        assert case.keys() - {"comment"} == {"id", "input", "answer", "rule", "verdict"}
        assert case["verdict"] in list(Verdict)
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", cast("str", case["id"]))


def test_vector_case_ids_are_unique() -> None:
    counted = sum(len(cast("list[Object]", document["cases"])) for document in DOCUMENTS.values())
    assert counted == len(CASES) > 900


def test_every_vector_case_id_starts_with_its_file_name() -> None:
    for document in DOCUMENTS.values():
        for case in cast("list[Object]", document["cases"]):
            assert cast("str", case["id"]).split("/")[0] == document["name"]


def test_every_rule_named_by_a_vector_is_in_a_table() -> None:
    for case in CASES.values():
        answer = cast("Object", case["answer"])
        for rule in [case["rule"], *cast("list[Json]", answer.get("rules", []))]:
            assert rule is None or find_rule(cast("str", rule)) is not None


# --- The cells -----------------------------------------------------------------------------

SILENT = {
    "authorization/no-successor": "connection.authorize.pending",
    "tombstone-report/any-other-or-without-happenedAt": "binding.tombstone.tombstoned",
}
"""The cells without a rule in the trail, and the rule that then decides."""

CELLS = {cell_id(name, key): row for name, page in TABLES.items() for key, row in page.cells()}


def test_every_reachable_table_cell_has_a_vector_case() -> None:
    assert len(CELLS) == sum(len(page) for page in TABLES.values())
    assert CELLS.keys() - CASES.keys() == UNREACHABLE_CASES


def test_vector_cases_can_reach_every_rule_but_request_room() -> None:
    reached = {row.rule for cell, row in CELLS.items() if cell not in UNREACHABLE_CASES}
    assert {row.rule for row in CELLS.values()} - reached == {"request.room"}


@pytest.mark.parametrize("cell", sorted(CELLS.keys() - UNREACHABLE_CASES))
def test_vector_case_of_a_table_cell_is_decided_by_its_rule(cell: str) -> None:
    case = CASES[cell]
    row = CELLS[cell]
    trail = cast("list[str]", cast("Object", case["answer"]).get("rules", [case["rule"]]))
    if isinstance(row.outcome, Ask):
        found = find_rule(cast("str", case["rule"]))
        assert found is not None
        # A gate without a table leaves the decision to the operation, here a reconnect.
        names = (row.outcome.table,) if row.outcome.table else Reconnect.rule.asks
        assert found.table.name in names or found.row.rule.startswith(names)
    elif cell in SILENT:
        assert trail == [SILENT[cell]]
    else:
        assert row.rule in trail
    assert case["rule"] in trail


def test_exactly_three_request_gates_delegate_to_another_table() -> None:
    asking = [row.rule for row in REQUEST_GATES.values() if isinstance(row.outcome, Ask)]
    assert asking == ["request.permission", "request.idempotency", "request.rule"]


# --- Inputs --------------------------------------------------------------------------------


def snake(value: Json) -> Json:
    if isinstance(value, dict):
        return {
            re.sub("[A-Z]", lambda it: "_" + it[0].lower(), k): snake(v) for k, v in value.items()
        }
    return [snake(part) for part in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_stored_values_in_vectors_load_and_dump_back_unchanged() -> None:
    kinds: dict[str, type[Storable]] = {
        "connection": Connection,
        "successor": Connection,
        "head": Connection,
        "left": Connection,
        "right": Connection,
        "binding": LimitedAccountAppBinding,
        "session": CuraeConnectSession,
        "record": Record,
    }
    loaded = 0
    for case in CASES.values():
        for member, value in cast("Object", case["input"]).items():
            if member in kinds and value is not None:
                again = load(kinds[member], as_stored(kinds[member], value))
                assert json.loads(json.dumps(stored(again))) == value
                loaded += 1
    assert loaded > 600


def as_stored(kind: type[Storable], value: Json) -> Json:
    """Return a value of a vector in the newest stored format."""
    members = snake(value)
    assert isinstance(members, dict)
    return {FORMAT: newest_format(kind.__name__), **members}


def run_standing(given: Object) -> Object:
    connection = load(Connection, as_stored(Connection, given["connection"]))
    now = parse_time("now", given["now"])
    return {"standing": standing(connection, now, era=era_of(given))}


def era_of(given: Object) -> datetime | None:
    era = given["era"]
    return None if era is None else parse_time("era", era)


def run_deadline(given: Object) -> Object:
    connection = load(Connection, as_stored(Connection, given["connection"]))
    deadline = next_deadline(connection, era=era_of(given))
    return {"nextDeadline": None if deadline is None else format_time(deadline)}


def run_life(given: Object) -> Object:
    connection = load(Connection, as_stored(Connection, given["connection"]))
    return {"live": is_live(connection, parse_time("now", given["now"]), era=era_of(given))}


def run_record_standing(given: Object) -> Object:
    record = load(Record, as_stored(Record, given["record"]))
    return {"standing": record_standing(record, parse_time("now", given["now"]))}


def run_access(given: Object) -> Object:
    connection = load(Connection, as_stored(Connection, given["connection"]))
    package = cast("str", given["dataPackage"])
    now = parse_time("now", given["now"])
    decision = decide_access(connection, package, now, era=era_of(given))
    if not isinstance(decision, Granted):
        return {"outcome": "denied", "reason": decision.reason}
    until = decision.valid_until
    return {"outcome": "granted", "validUntil": None if until is None else format_time(until)}


def run_merge(given: Object) -> Object:
    left, right = (
        load(Connection, as_stored(Connection, given[side])) for side in ("left", "right")
    )
    if left.identity != right.identity:
        return {"outcome": "error"}
    joined = json.dumps(stored(merge(left, right)))
    return {"outcome": "done", "connection": cast("Json", json.loads(joined))}


@pytest.mark.parametrize(
    ("document", "run"),
    [
        ("standing.json", run_standing),
        ("deadline.json", run_deadline),
        ("life.json", run_life),
        ("record-standing.json", run_record_standing),
        ("access.json", run_access),
        ("merge.json", run_merge),
    ],
)
def test_vector_input_alone_reproduces_the_expected_result(
    document: str, run: Callable[[Object], Object]
) -> None:
    for case in cast("list[Object]", DOCUMENTS[document]["cases"]):
        assert run(cast("Object", case["input"])).items() <= cast("Object", case["answer"]).items()


def test_merge_vectors_give_the_same_result_in_either_order() -> None:
    pairs = {name: case for name, case in CASES.items() if name.startswith("merge/")}
    statuses = ("PENDING", "ACTIVE", "ACTION_REQUIRED", "EXPIRED", "REVOKED")
    for name, case in pairs.items():
        first, second = name.split("/")[1:3] if name.count("/") == 2 else (name, "")
        if first in statuses:
            assert case["answer"] == pairs[f"merge/{second}/{first}"]["answer"]
        elif second != "swapped":
            assert case["answer"] == pairs[f"{name}/swapped"]["answer"]


# --- By hand -------------------------------------------------------------------------------


def member(answer: Json, path: str) -> Json:
    for name in path.split("."):
        answer = cast("Object", answer)[name]
    return answer


EXPECTED = expected_connections.EXPECTED | expected_requests.EXPECTED


@pytest.mark.parametrize("case_id", EXPECTED)
def test_vector_case_equals_its_hand_written_result(case_id: str) -> None:
    verdict, expected = EXPECTED[case_id]
    case = CASES[case_id]
    assert case["verdict"] == verdict
    assert {path: member(case["answer"], path) for path in expected} == expected


@pytest.mark.parametrize("name", SYNTAX)
def test_syntax_vectors_accept_exactly_the_texts_listed_by_hand(name: str) -> None:
    def words(verdict: Verdict) -> list[str]:
        cases = cast("list[Object]", DOCUMENTS[f"{name}.json"]["cases"])
        return [cast("str", it["id"]).split("/")[1] for it in cases if it["verdict"] == verdict]

    assert words(Verdict.VALID) == SYNTAX[name].split()
    assert words(Verdict.ACCEPTABLE) == ACCEPTABLE[name].split()
    assert len(words(Verdict.INVALID)) > 5


def test_only_patient_or_platform_revocation_ends_whole_chain() -> None:
    for actor, answers in (("APP", 1), ("UPSTREAM", 1), ("PATIENT", 3), ("PLATFORM", 3)):
        answer = cast("Object", CASES[f"revocation-reach/{actor}"]["answer"])
        given = cast("list[Object]", answer["answers"])
        assert [it["outcome"] for it in given] == ["done"] * answers
        again = cast("Object", CASES[f"revocation-reach/{actor}/again"]["answer"])
        first, *_ = cast("list[Object]", again["answers"])
        assert first["outcome"] == "ignored"


def value(case_id: str) -> str:
    return cast("str", cast("Object", CASES[case_id]["answer"])["values"])


def test_tombstone_vectors_revoke_connections_as_the_platform() -> None:
    for word in ("LIMITED", "ACTIVE", "late", *(f"connection/{each}" for each in Status)):
        case = CASES[f"tombstone/{word}"]
        given = cast("list[Object]", cast("Object", case["input"])["connections"])
        after = cast("list[Object]", cast("Object", case["answer"])["connections"])
        gone = cast("Object", case["input"])["happenedAt"] or "2030-01-01T00:40:00Z"
        found = {member(each, "identity.id"): each for each in given}
        for each in after:
            before = found.pop(member(each, "identity.id"))
            assert each["status"] == "REVOKED"
            assert each["version"] == cast("int", before["version"]) + 1
            if before["revokedAt"] is None:
                assert (each["revokedBy"], each["revokedAt"]) == ("PLATFORM", gone)
            else:
                assert {**each, "version": 1} == before, "the first revocation stands"
        # Only a revoked connection that is no head needs no write.
        assert [each["status"] for each in found.values()] == ["REVOKED"] * len(found)


def test_request_bodies_with_equal_values_share_a_fingerprint() -> None:
    body = "request-body/"
    plain = value(f"{body}initiate/plain")
    same = {value(f"{body}initiate/{word}") for word in ("false", "escapes")}
    assert same == {plain}
    preferred = value(f"{body}initiate/preference")
    assert value(f"{body}initiate/order-and-space") == preferred != plain
    in_order = value(f"{body}create/plain")
    assert value(f"{body}create/packages-in-any-order") == in_order
    assert value(f"{body}revoke/absent") == value(f"{body}revoke/empty-object")


def test_request_body_vectors_have_the_hand_written_faults() -> None:
    faults = {
        word.removeprefix("request-body/"): (
            member(case["answer"], "problem.details.fault"),
            member(case["answer"], "problem.details.member"),
        )
        for word, case in CASES.items()
        if word.startswith("request-body/")
        and case["verdict"] == "invalid"
        and case["rule"] == "request.body"
    }
    assert faults == FAULTS


def test_request_target_vectors_have_the_hand_written_faults() -> None:
    state = "request-target/"
    assert len({value(f"{state}{word}") for word in ("user", "encoded-name")}) == 1
    assert value(f"{state}other-parameters") == value(f"{state}user")
    assert value(f"{state}plus-is-a-space") != value(f"{state}percent")
    codes = {
        "missing": ("BAD_REQUEST", "MISSING"),
        "empty": ("BAD_REQUEST", "INVALID"),
        "no-value": ("BAD_REQUEST", "INVALID"),
        "repeated": ("BAD_REQUEST", "REPEATED"),
        "not-utf-8": ("BAD_REQUEST", "INVALID"),
        "space-at-the-end": ("BAD_REQUEST", "INVALID"),
        "connection-without-hyphens": ("BAD_REQUEST", "INVALID"),
        "connection-no-uuid": ("BAD_REQUEST", "INVALID"),
        "no-such-path": ("NOT_FOUND", None),
        "trailing-slash": ("NOT_FOUND", None),
        "other-action": ("NOT_FOUND", None),
        "action-by-get": ("NOT_FOUND", None),
    }
    for word, expected in codes.items():
        problem = cast("Object", member(CASES[f"{state}{word}"]["answer"], "problem"))
        assert (problem["code"], cast("Object", problem["details"]).get("fault")) == expected


def test_get_shows_active_if_handoff_was_done_before_deadline() -> None:
    for word, status in (("before", "ACTIVE"), ("at", "EXPIRED"), ("after", "EXPIRED")):
        answer = CASES[f"operation/get-connection/landed/{word}"]["answer"]
        shown = cast("Object", json.loads(cast("str", member(answer, "body"))))
        assert member(shown, "connection.status") == status


def test_another_apps_connection_gets_same_answer_as_unknown_id() -> None:
    foreign, unknown = (
        {**cast("Object", CASES[f"request/{word}"]["answer"]), "changes": None}
        for word in ("another-app", "ownership")
    )
    assert foreign == unknown
