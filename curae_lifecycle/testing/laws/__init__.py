"""The sixteen laws as plain functions, to hold your own values, histories and answers against.

The law of this package: **a law is judged by what it says and not by asking the rules again**.
Each function has its own idea of what is right (its own ranks, paths, members, statuses), so a
mistake in the rules cannot hide itself here. Where a law speaks of a function (merge, standing,
access, path), that function is an argument, the library's own by default: pass yours.

Every function returns `None` where the law holds and raises `LawBrokenError` where it does not.
"""

from __future__ import annotations

from curae_lifecycle.testing.laws.connections import (
    RevocationSeen,
    check_access,
    check_chain,
    check_merge,
    check_one_pending_successor,
    check_rank_never_falls,
    check_revocation,
    check_standing_is_monotone,
)
from curae_lifecycle.testing.laws.law import LAWS, TICK, LawBrokenError
from curae_lifecycle.testing.laws.requests import (
    check_deterministic,
    check_indistinguishable,
    check_nothing_changed,
    check_one_execution,
    check_paths,
    check_rate_limit,
    check_replay,
    check_retry_after,
)
from curae_lifecycle.testing.laws.wire import check_documented, check_wire_members

__all__ = [
    "LAWS",
    "TICK",
    "LawBrokenError",
    "RevocationSeen",
    "check_access",
    "check_chain",
    "check_deterministic",
    "check_documented",
    "check_indistinguishable",
    "check_merge",
    "check_nothing_changed",
    "check_one_execution",
    "check_one_pending_successor",
    "check_paths",
    "check_rank_never_falls",
    "check_rate_limit",
    "check_replay",
    "check_retry_after",
    "check_revocation",
    "check_standing_is_monotone",
    "check_wire_members",
]
