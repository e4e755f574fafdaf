"""Seeded random traffic: log lines for `replay` that reach every rule.

`traffic(seed, lines)` writes the same lines for the same seed. It sees no answers, so it knows in
advance what it refers to later: a recorded `response` whose id is adopted, or an alias. It keeps a
rough idea of the state (requested ids, significant instants) and no rules: most lines are
sensible, many arrive at, or one microsecond beside, an instant at which something changes, and
some are wrong in every way that a line, a request or a fact can be wrong.

One seed in sixteen runs in the first days of year 1, one in the last days of year 9999.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.proof.reference.sagas import Sagas
from tests.proof.reference.writer import KEYS


class Generator(Sagas):
    """A generator of all kinds of lines, weighted."""

    def run(self) -> list[bytes]:
        if self.chance(0.05):
            self.bad_line()
        for key in KEYS:
            self.register(key)
        if self.chance(0.5):
            self.buckets()
        actions: list[tuple[int, Callable[[], object]]] = [
            (8, self.create),
            (7, self.get),
            (9, self.reconnect),
            (4, self.revoke),
            (6, self.initiate),
            (4, self.complete),
            (4, self.binding),
            (5, self.account_state),
            (3, self.graduation),
            (7, self.ask),
            (16, self.any_fact),
            (12, self.again),
            (4, self.bad_body),
            (4, self.bad_key),
            (1, self.good_key),
            (1, self.bad_authorization),
            (1, self.bad_path),
            (1, self.bad_id),
            (1, self.bad_query),
            (2, self.bad_fact),
            (4, self.bad_line),
            (1, self.aliases),
            (1, self.register_again),
            (1, self.buckets),
            (1, self.limit_story),
            (1, self.bucket_story),
            (2, self.late_story),
            (2, self.chain_story),
            (1, self.retention_story),
            (2, self.expiry_story),
            (3, self.sign_up_story),
            (1, self.limited_story),
            (2, self.tombstone_story),
            (1, self.long_chain_story),
            (1, self.owner_story),
            (1, self.policy_story),
            (2, self.skew_story),
            (1, self.decades_story),
        ]
        weights = [weight for weight, _ in actions]
        while len(self.written) < self.wanted:
            self.pass_time()
            self.random.choices(actions, weights)[0][1]()
        return self.written[: self.wanted]


def traffic(seed: int, lines: int) -> list[bytes]:
    """Return log lines without line ends; the same for the same seed."""
    return Generator(seed, lines).run()
