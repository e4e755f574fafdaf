"""Tests that the strategies draw each edge of their domain within the usual number of examples."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from types import ModuleType
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.ratelimit import (
    FULL_BUCKET,
    Bucket,
    BucketState,
    Charge,
    ExactLog,
    LimitLeft,
    LogState,
    Policy,
    RateLimited,
    admit,
)
from curae_lifecycle.rules.session import ENTRY_PATHS, EntryPath
from curae_lifecycle.rules.values import to_epoch_microseconds
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.members import EntityTags
from curae_lifecycle.service.operations.account_state import etag
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.testing import strategies as draw
from curae_lifecycle.testing.cells import count_cell_lookups
from curae_lifecycle.testing.factories import fields_of
from curae_lifecycle.testing.strategies import START, RecordedFact, Traffic
from tests.testing.strategies.drawing import HOUR

USUAL: Final = settings(
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=100,
    phases=(Phase.generate,),
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
"""The default number of examples of a property test, always the same ones."""

Edge = Callable[[object], bool]
HIGHEST_OF_TWO_BYTES: Final = 0xFFFF
TICK: Final = timedelta(microseconds=1)


def drawn_usually(strategy: st.SearchStrategy[object], times: int = 1) -> list[object]:
    """Return all values that a property test draws."""
    seen: list[object] = []

    @settings(USUAL, max_examples=times * USUAL.max_examples)
    @given(strategy)
    def note(value: object) -> None:
        seen.append(value)

    note()
    return seen


def has_length(length: int) -> Callable[[object], bool]:
    return lambda each: isinstance(each, Collection) and len(each) == length


def is_beyond_two_bytes(each: object) -> bool:
    return any(ord(character) > HIGHEST_OF_TWO_BYTES for character in str(each))


def is_used_up(each: object) -> bool:
    return isinstance(each, Charge) and isinstance(admit((each,), START), RateLimited)


def is_full_log(each: object) -> bool:
    return (
        isinstance(each, Charge)
        and isinstance(each.policy, ExactLog)
        and isinstance(each.state, LogState)
        and len(each.state.instants) == each.policy.limit
    )


def equals(wanted: object) -> Callable[[object], bool]:
    return lambda each: each == wanted


def has_member(name: str, value: object) -> Callable[[object], bool]:
    return lambda each: getattr(each, name) == value


def is_drained_bucket(each: object) -> bool:
    return isinstance(each, Charge) and isinstance(each.policy, Bucket) and is_used_up(each)


def is_all_left(kind: type[Policy]) -> Callable[[object], bool]:
    def is_untouched(each: object) -> bool:
        assert isinstance(each, LimitLeft)
        size = each.policy.limit if isinstance(each.policy, ExactLog) else each.policy.capacity
        return isinstance(each.policy, kind) and each.remaining == size

    return is_untouched


def is_given(name: str) -> Edge:
    return lambda each: getattr(each, name) is not None


def edges_of_options(kind: type[Fact | Operation]) -> dict[str, Edge]:
    """Return the edges of each field that has a default: None and another value, or both flags."""
    found: dict[str, Edge] = {}
    for field in fields_of(kind):
        if field.default is None:
            found[f"without {field.name}"] = has_member(field.name, None)
            found[f"with {field.name}"] = is_given(field.name)
        elif isinstance(field.default, bool):
            found |= {
                f"{field.name} {flag}": has_member(field.name, flag) for flag in (True, False)
            }
        elif isinstance(field.default, frozenset):
            found[f"no {field.name}"] = has_member(field.name, frozenset())
            found[f"all {field.name}"] = has_member(field.name, frozenset(AccountState))
    return found


ALL_TAGS: Final = frozenset(etag(state) for state in AccountState)
EMPTIEST_BUCKET: Final = BucketState(to_epoch_microseconds(START + timedelta(seconds=100)), 0)
"""The state at `START` of the largest and slowest bucket, without a token."""

APP_USER_ID_EDGES: Final[dict[str, Edge]] = {
    "shortest": has_length(1),
    "longest": has_length(256),
    "beyond U+FFFF": is_beyond_two_bytes,
    "longest beyond U+FFFF": lambda each: has_length(256)(each) and is_beyond_two_bytes(each),
    "shortest beyond U+FFFF": lambda each: has_length(1)(each) and is_beyond_two_bytes(each),
}


def graduations(run: Traffic) -> set[tuple[str, bool]]:
    """Return the last rule of each graduation of a run, and whether the fact names its page."""
    return {
        (each.answer.rules[-1], each.fact.page_url is not None)
        for each in run.interactions
        if isinstance(each, RecordedFact) and isinstance(each.fact, Graduated)
    }


def has_item(wanted: object) -> Callable[[object], bool]:
    return lambda each: isinstance(each, Collection) and wanted in each


GRADUATION_EDGES: Final[dict[str, Edge]] = {
    "a LIMITED user graduates": has_item(("binding.graduate.limited.same", False)),
    "by a hosted page": has_item(("binding.graduate.limited.same", True)),
}

EDGES: Final[dict[str, tuple[st.SearchStrategy[object], dict[str, Edge]]]] = {
    "app_user_ids": (draw.app_user_ids(), APP_USER_ID_EDGES),
    "idempotency_keys": (
        draw.idempotency_keys(),
        {
            "shortest": has_length(1),
            "longest": has_length(255),
            "lowest character": lambda each: "!" in str(each),
            "highest character": lambda each: "~" in str(each),
        },
    ),
    "data_package": (draw.data_package(), {"shortest": has_length(1), "longest": has_length(64)}),
    "data_packages": (draw.data_packages(), {"fewest": has_length(1), "most": has_length(64)}),
    "offsets": (
        draw.offsets(),
        {"shortest": equals(timedelta(0)), "longest": equals(3 * HOUR)},
    ),
    "instants": (
        draw.instants(),
        {"earliest": equals(START), "latest": equals(START + 3 * HOUR)},
    ),
    "next_actions: ends": (
        draw.next_actions().map(lambda each: each.expires_at),
        {
            "already over": equals(START),
            "over in a microsecond": equals(START + TICK),
            "usual": equals(START + HOUR / 2),
            "latest": equals(START + HOUR),
        },
    ),
    "buckets: sizes": (
        draw.buckets(),
        {
            f"{name} {size}": has_member(name, size)
            for name in ("capacity", "refill", "seconds")
            for size in (1, 10)
        },
    ),
    "exact_logs": (
        draw.exact_logs().map(lambda each: (each.limit, each.seconds)),
        {
            f"{limit} in {seconds} s": equals((limit, seconds))
            for limit in (1, 2, 3, 10)
            for seconds in (1, 60)
        },
    ),
    "log_states": (
        draw.log_states().map(lambda each: each.instants),
        {"empty": has_length(0), "fullest": has_length(10)},
    ),
    "bucket_states": (
        draw.bucket_states(),
        {"full": equals(FULL_BUCKET), "emptiest": equals(EMPTIEST_BUCKET)},
    ),
    "charges": (
        draw.charges(),
        {"used up": is_used_up, "full log": is_full_log, "drained bucket": is_drained_bucket},
    ),
    "limits_left": (
        draw.limits_left(),
        {
            "nothing": has_member("remaining", 0),
            "everything of a log": is_all_left(ExactLog),
            "everything of a bucket": is_all_left(Bucket),
        },
    ),
    "scopes": (draw.scopes(), {"fewest": has_length(0), "most": has_length(1)}),
    "chains": (draw.chains(), {"shortest": has_length(1), "longest": has_length(7)}),
    "responses: bodies": (
        draw.responses().map(lambda each: each.body),
        {"emptiest": has_length(0), "fullest": has_length(8)},
    ),
    "server_settings: buckets": (
        draw.server_settings().map(lambda each: each.buckets),
        {"no bucket": has_length(0), "most buckets": has_length(2)},
    ),
    "connection_histories: steps": (
        draw.connection_histories().map(lambda each: each.steps),
        {"fewest": has_length(0), "most": has_length(5)},
    ),
    "coordinate_histories: steps": (
        draw.coordinate_histories().map(lambda each: each.steps),
        {"fewest": has_length(0), "most": has_length(6)},
    ),
    "record_histories: steps": (
        draw.record_histories().map(lambda each: each.steps),
        {"fewest": has_length(0), "most": has_length(6)},
    ),
    "traffic_runs: interactions": (
        draw.traffic_runs().map(lambda each: each.interactions),
        {"fewest": has_length(0), "most": has_length(10)},
    ),
    "traffic_runs: graduations": (draw.traffic_runs().map(graduations), GRADUATION_EDGES),
    "logs: graduations": (
        draw.logs().map(lambda each: graduations(each.traffic)),
        GRADUATION_EDGES,
    ),
    "logs: interactions": (
        draw.logs().map(lambda each: each.traffic.interactions),
        {"fewest": has_length(0), "most": has_length(10)},
    ),
    "bindings: generations": (
        draw.bindings().map(lambda each: each.generation),
        {"first": equals(1), "last": equals(4)},
    ),
    "entity_tags": (
        draw.entity_tags(),
        {
            "none": equals(EntityTags()),
            "all": equals(EntityTags(ALL_TAGS)),
            "any": equals(EntityTags(matches_any=True)),
        },
    ),
    "app_users": (draw.app_users().map(lambda each: each.app_user_id), APP_USER_ID_EDGES),
    "coordinates": (draw.coordinates().map(lambda each: each.app_user_id), APP_USER_ID_EDGES),
    **{
        f"{name}: {kind.__name__}": (strategy, edges_of_options(kind))
        for name, strategies in (
            ("FACT_STRATEGIES", draw.FACT_STRATEGIES),
            ("OPERATION_STRATEGIES", draw.OPERATION_STRATEGIES),
        )
        for kind, strategy in strategies.items()
        if edges_of_options(kind)
    },
}
"""Strategies by subject, each with the edges of its domain; a subject begins with a public name."""

FEW: Final = "draws one of a few values, which have no edge"
PARTS: Final = "builds its values from strategies that are asked here"
OUTCOMES: Final = "draws answers of the rules, which `test_reach.py` asks for"
UNSOUND: Final = "draws one defect of a list, which `test_values.py` asks for"
NO_STRATEGY: Final = "is no strategy"
WITHOUT_EDGES: Final[dict[str, tuple[str, ...]]] = {
    FEW: (
        *("api_key_ids", "api_keys", "app_ids", "customer_account_ids", "environments"),
        *("members", "new_ids", "notices", "reasons", "response_references", "user_ids"),
        *("connection_ids", "session_ids", "uuids", "attempts", "problems"),
    ),
    PARTS: (
        *("callers", "callers_with_write_scope", "calls", "connections", "exchanges", "facts"),
        *("facts_about", "fingerprints", "key_owners", "new_connections", "operations"),
        *("parsed_bodies", "parsed_members", "policies", "record_keys", "records"),
        *("records_in_standing", "requests", "sessions"),
    ),
    OUTCOMES: (
        *("access_decisions", "admissions", "connection_views", "denials", "done_facts"),
        *("done_transitions", "effects", "grants", "ignored_facts", "ignored_transitions"),
        *("initiations", "landings", "limit_refusals", "lost_leases", "minted", "outbox_events"),
        *("rate_keys", "recoveries", "refused_transitions", "reissued", "replays", "replies"),
        *("transitions", "trigger_previews", "values_from_traffic", "writes"),
    ),
    UNSOUND: ("broken_arguments", "broken_documents", "broken_logs", "broken_requests"),
    NO_STRATEGY: (
        *("CALLERS", "FINAL_STEPS", "NEXT_ACTION_LIFETIME", "START", "TICK", "apply_fact"),
        *("format_log", "format_request", "register"),
        *("CoordinateAnswer", "Interaction", "RecordAnswer"),
    ),
}
"""The public names that are asked for no edge, by the reason."""


def test_every_public_strategy_lists_edge_cases_or_is_exempt() -> None:
    public = {
        name
        for name, value in vars(draw).items()
        if not name.startswith("_")
        and name != "annotations"
        and not isinstance(value, type | ModuleType)
    }
    asked = {subject.partition(":")[0] for subject in EDGES}
    excused = [name for names in WITHOUT_EDGES.values() for name in names]
    assert sorted([*asked, *excused]) == sorted(public)


@pytest.mark.slow
@pytest.mark.parametrize("subject", EDGES)
def test_strategy_draws_every_edge_case_in_a_hundred_examples(subject: str) -> None:
    strategy, edges = EDGES[subject]
    seen = drawn_usually(strategy)
    assert len(seen) <= USUAL.max_examples
    missed = {name for name, is_edge in edges.items() if not any(map(is_edge, seen))}
    assert missed - RARE.get(subject, set()) == set()


RARE: Final = {
    "bucket_states": {"emptiest"},
    "chains": {"longest"},
    "connection_histories: steps": {"most"},
    "coordinate_histories: steps": {"most"},
    "record_histories: steps": {"most"},
    "traffic_runs: graduations": {"by a hosted page"},
    "logs: graduations": {"by a hosted page"},
}
"""The edges that a hundred examples may miss: about one time in ten, or less often."""


@pytest.mark.slow
@pytest.mark.parametrize("subject", RARE)
def test_strategy_draws_rare_edge_cases_in_a_thousand_examples(subject: str) -> None:
    strategy, edges = EDGES[subject]
    seen = drawn_usually(strategy, times=10)
    assert {name for name in RARE[subject] if not any(map(edges[name], seen))} == set()


@pytest.mark.slow
@pytest.mark.parametrize("path", EntryPath)
def test_drawn_sessions_of_an_entry_path_use_all_its_table_cells(path: EntryPath) -> None:
    cells = {
        (ENTRY_PATHS.name, *map(str, key))
        for key, row in ENTRY_PATHS.cells()
        if row.outcome.path is path
    }
    with count_cell_lookups([ENTRY_PATHS]) as counts:
        drawn_usually(draw.sessions(path))
    assert counts.keys() == cells
