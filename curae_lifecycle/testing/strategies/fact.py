"""Facts and problems.

The law of this module: **a problem has the values that its code allows**, and a fact may be
recorded at `START` or later, whatever it is of.
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.credentials import CONNECTION_WRITE
from curae_lifecycle.rules.problems import CATALOGUE, DetailValue, Fault, Problem, ProblemCode
from curae_lifecycle.rules.session import EntryPath
from curae_lifecycle.service.facts.fact import Fact
from curae_lifecycle.service.facts.registry import FACTS
from curae_lifecycle.testing.strategies import values
from curae_lifecycle.testing.strategies.fields import drawn


def facts() -> st.SearchStrategy[Fact]:
    """Facts of every kind, of whatever they may be; no `happened_at` is after `START`."""
    return st.one_of(*FACT_STRATEGIES.values())


def problems() -> st.SearchStrategy[Problem]:
    """Problems of every code, each with the values that its code allows."""
    return st.sampled_from(ProblemCode).flatmap(
        lambda code: st.builds(
            Problem,
            st.just(code),
            st.tuples(*(_DETAILS[name] for name in CATALOGUE[code].outcome.details)),
        )
    )


_DETAILS: Final[dict[str, st.SearchStrategy[DetailValue]]] = {
    "member": st.sampled_from((None, "appUserId")),
    "fault": st.sampled_from(Fault),
    "scope": st.just(CONNECTION_WRITE),
    "environment": values.environments(),
    "connectionId": values.connection_ids(),
    "dataPackage": values.data_package(),
    "reason": st.sampled_from(("STILL_PENDING", "ALREADY_ACTIVE")),
    "nextConnectionId": values.connection_ids(),
    "standing": st.sampled_from(Standing),
    "deadline": values.instants(),
    "sessionId": values.session_ids(),
    "expiresAt": values.instants(),
    "path": st.sampled_from(EntryPath),
    "lifecycleState": st.sampled_from(AccountState),
    "retryAfter": st.integers(1, 60),
    "differs": st.sampled_from(("operation", "values")),
    "policy": st.sampled_from(("initiate", "platform")),
}


FACT_STRATEGIES: Final[dict[type[Fact], st.SearchStrategy[Fact]]] = {
    kind: drawn(kind) for kind in FACTS
}
"""One strategy for each kind of fact."""
