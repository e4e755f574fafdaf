"""The laws as plain functions that check your own values, histories and answers.

The law of this package: **each check is written from the text of its law and does not ask the
rules again**. Each function has its own ranks, paths, members and statuses, so that a mistake in
the rules is not repeated here. If a law is about a function (merge, standing, access, path), that
function is an argument. It is the library's own by default; pass yours to check it.

Every function raises `LawBrokenError` if its law does not hold.
"""

from __future__ import annotations

from curae_lifecycle.testing.laws.connections import RevocationAnswer as RevocationAnswer
from curae_lifecycle.testing.laws.connections import check_access as check_access
from curae_lifecycle.testing.laws.connections import check_chain as check_chain
from curae_lifecycle.testing.laws.connections import check_merge as check_merge
from curae_lifecycle.testing.laws.connections import (
    check_one_pending_successor as check_one_pending_successor,
)
from curae_lifecycle.testing.laws.connections import (
    check_rank_never_falls as check_rank_never_falls,
)
from curae_lifecycle.testing.laws.connections import check_revocation as check_revocation
from curae_lifecycle.testing.laws.connections import (
    check_standing_is_monotone as check_standing_is_monotone,
)
from curae_lifecycle.testing.laws.connections import check_tombstone as check_tombstone
from curae_lifecycle.testing.laws.law import LAWS as LAWS
from curae_lifecycle.testing.laws.law import TICK as TICK
from curae_lifecycle.testing.laws.law import LawBrokenError as LawBrokenError
from curae_lifecycle.testing.laws.requests import check_deterministic as check_deterministic
from curae_lifecycle.testing.laws.requests import check_entry_paths as check_entry_paths
from curae_lifecycle.testing.laws.requests import check_indistinguishable as check_indistinguishable
from curae_lifecycle.testing.laws.requests import check_nothing_changed as check_nothing_changed
from curae_lifecycle.testing.laws.requests import check_one_execution as check_one_execution
from curae_lifecycle.testing.laws.requests import check_rate_limit as check_rate_limit
from curae_lifecycle.testing.laws.requests import check_replay as check_replay
from curae_lifecycle.testing.laws.requests import check_retry_after as check_retry_after
from curae_lifecycle.testing.laws.stored import check_stored as check_stored
from curae_lifecycle.testing.laws.wire import check_documented as check_documented
from curae_lifecycle.testing.laws.wire import check_wire_members as check_wire_members
