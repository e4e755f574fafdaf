"""Facts and problems.

The law of this module: **a problem has the facts of its code**, and a fact may be recorded at
`START` or later, whatever it is of.
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Actor, Standing
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.problems import CATALOGUE, DetailValue, Fault, Problem, ProblemCode
from curae_lifecycle.rules.session import EntryPath
from curae_lifecycle.service.facts.action_required import ActionRequired
from curae_lifecycle.service.facts.authorized import Authorized
from curae_lifecycle.service.facts.expired import Expired
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.graduated import Graduated
from curae_lifecycle.service.facts.handoff_completed import HandoffCompleted
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.facts.tombstoned import Tombstoned
from curae_lifecycle.testing.strategies.values import (
    LIFETIME,
    START,
    connection_ids,
    coordinates,
    data_package,
    environments,
    instants,
    reasons,
    session_ids,
    user_ids,
)


def facts() -> st.SearchStrategy[Fact]:
    """Facts of every kind, of whatever they may be; no `happened_at` is after `START`."""
    return st.one_of(*FACT_STRATEGIES.values())


def problems() -> st.SearchStrategy[Problem]:
    """Problems of every code, each with the facts that its code allows."""
    return st.sampled_from(ProblemCode).flatmap(
        lambda code: st.builds(
            Problem,
            st.just(code),
            st.tuples(*(_FACT[name] for name in CATALOGUE[code].outcome.details)),
        )
    )


_FACT: Final[dict[str, st.SearchStrategy[DetailValue]]] = {
    "member": st.sampled_from((None, "appUserId")),
    "fault": st.sampled_from(Fault),
    "scope": st.just(CONNECTION_WRITE),
    "environment": environments(),
    "connectionId": connection_ids(),
    "dataPackage": data_package(),
    "reason": st.sampled_from(("STILL_PENDING", "ALREADY_ACTIVE")),
    "nextConnectionId": connection_ids(),
    "standing": st.sampled_from(Standing),
    "deadline": instants(),
    "sessionId": session_ids(),
    "expiresAt": instants(),
    "path": st.sampled_from(EntryPath),
    "lifecycleState": st.sampled_from(AccountState),
    "retryAfter": st.integers(1, 60),
    "differs": st.sampled_from(("operation", "values")),
    "policy": st.sampled_from(("initiate", "platform")),
}


_HAPPENED: Final = st.sampled_from((None, START))

FACT_STRATEGIES: Final[dict[type[Fact], st.SearchStrategy[Fact]]] = {
    Authorized: st.builds(
        Authorized, connection_ids(), st.sampled_from((None, START + LIFETIME)), _HAPPENED
    ),
    ActionRequired: st.builds(ActionRequired, connection_ids(), reasons(), _HAPPENED),
    Expired: st.builds(Expired, connection_ids(), _HAPPENED),
    Revoked: st.builds(Revoked, connection_ids(), st.sampled_from(Actor), _HAPPENED),
    HandoffCompleted: st.builds(HandoffCompleted, session_ids(), user_ids(), _HAPPENED),
    Graduated: st.builds(Graduated, coordinates(), st.one_of(st.none(), user_ids()), _HAPPENED),
    Tombstoned: st.builds(Tombstoned, coordinates(), _HAPPENED),
}
"""One strategy for each kind of fact."""
