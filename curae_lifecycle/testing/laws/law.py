"""The texts of the laws, and the error of a broken law."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from curae_lifecycle.rules.errors import LifecycleError

LAWS: Final[Mapping[int, str]] = {
    1: "Stored rank never falls on one id.",
    2: "`revokedNow` is true for the first revocation of an id alone; `revokedAt` never changes.",
    3: "Merge is commutative, associative, idempotent; REVOKED absorbs.",
    4: "Standing is monotone in `now` for a fixed record.",
    5: "Access granted implies ACTIVE now, package granted, before `valid_until`.",
    6: "A chain is acyclic and linear, of one coordinate and one set of packages, with at most "
    "one ACTIVE and one PENDING, PENDING only at its head.",
    7: "However many reconnects: one successor while it is pending.",
    8: "Path selection is total, a function of account state and preference alone.",
    9: "A replay equals the original byte for byte, writes nothing else, costs the app user "
    "nothing.",
    10: "In any half-open window at most the limit is admitted; `retry_after` is exact.",
    11: "Refused and ignored change nothing and emit nothing.",
    12: "One key, one execution: all who get its answer get the same one.",
    13: "Nothing internal is on the wire: every response has only the listed keys.",
    14: "Same inputs, same outputs.",
    15: "Another tenant's id and an unknown id are indistinguishable.",
    16: "Every input gives a value or a documented problem.",
    17: "Once a tombstone is recorded, no connection that was made before grants access and no "
    "session that was made before completes, whichever user was or is bound.",
    18: "What is stored is read by the next release; what a newer one stored is refused by name.",
}
"""The texts of the laws by number, as the errors quote them."""

TICK: Final = timedelta(microseconds=1)
"""The smallest span of time: one microsecond."""


class LawBrokenError(LifecycleError, AssertionError):
    """The error for an observation that breaks one of the laws.

    Attributes:
        law: The number of the law, 1 to 18.
        what: A phrase that says what was observed.
        where: The place of the observation, such as an id, an instant, a position or a member.
        law_text: The text of the law, from `LAWS`.
    """

    def __init__(self, law: int, what: str, where: str) -> None:
        """Store the number of the law, the observation and its place."""
        super().__init__(law, what, where)
        self.law = law
        self.what = what
        self.where = where
        self.law_text = LAWS[law]

    def __str__(self) -> str:
        return (
            f"law {self.law} is broken: {self.what}\n  where: {self.where}\n  law: {self.law_text}"
        )
