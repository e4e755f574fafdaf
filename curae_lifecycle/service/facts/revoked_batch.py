"""One batch of the revocation of a chain, for chains too long for one transaction.

The laws of this module: **the first batch ends the access**, because only the last connection of a
chain can give any; **no batch reaches a connection that was made after the first one**, so a
reconnect between two batches stays.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules import outcomes
from curae_lifecycle.rules.connection import Connection, clamp_to_updated_at
from curae_lifecycle.service.changes import NO_CHANGES
from curae_lifecycle.service.facts import fact
from curae_lifecycle.service.facts.revoked import Revoked
from curae_lifecycle.service.revocation import join_rules, reaches_chain, revoke_part
from curae_lifecycle.service.snapshot import ChainPart, Needs, Snapshot


@attrs.frozen(kw_only=True)
class RevokedBatch(Revoked):
    """One batch of the fact `Revoked`, for a chain that is too long for one commit.

    The first batch revokes the last `size` connections of the chain, the next one the `size` before
    them, and so on, back to the connection of `connection_id`. The last batch revokes that
    connection, too. The other fields are those of `Revoked`.

    Attributes:
        size: The most connections that this batch revokes, not counting that of `connection_id`.
        before: The lowest `position` (place in the chain) in the previous batch; this batch ends
            with the connection before it. `None` for the first batch.
    """

    size: int
    before: int | None = None

    def needs(self) -> Needs:
        """Return the keys to load: the connection's id, the part of its chain to revoke, the page.

        The page is the hosted page that the fact comes from, if any.
        """
        return attrs.evolve(super().needs(), chain_part=ChainPart(self.size, self.before))

    def check(self, now: datetime) -> None:
        """Check the fact's values if this is the first batch; a later batch is not checked.

        So no later batch fails if the clock goes back meanwhile.

        Args:
            now: When the batch is recorded, in UTC.

        Raises:
            ArgumentError: In the first batch: `now` is not UTC, or `happened_at` is more than five
                minutes after `now`.
        """
        if self.before is None:
            super().check(now)

    def judge(self, snapshot: Snapshot, now: datetime) -> fact.FactAnswer:
        """Return the changes that revoke the connections of this batch.

        The fact is ignored if all of them were revoked before.
        """
        reached = self._reached(snapshot)
        happened_at = self.happened_at
        if happened_at is not None:
            # `check` allowed it. The first of these may have seen less than the fact's connection.
            happened_at = min(happened_at, clamp_to_updated_at(reached[0], now))
        answers, changes = revoke_part(
            reached,
            snapshot,
            now,
            actor=self.actor,
            happened_at=happened_at,
            has_head=self.before is None,
        )
        # The rules of all batches together name the row of `revocation-reach` once.
        rules = join_rules(answers)[0 if self.before is None else 1 :]
        if changes is NO_CHANGES:
            return outcomes.Ignored(NO_CHANGES, rules)
        return outcomes.Done(changes, rules)

    def rest(self, snapshot: Snapshot, now: datetime) -> RevokedBatch | None:
        """Return the next batch to record after this one; None if this batch was the last.

        Batches go from the end of the chain back to the fact's connection, which is in the last.
        The next batch has a `happened_at`, so that all batches revoke at one instant. It has no
        `page_url`: the first batch has checked the page.

        Args:
            snapshot: The values that this batch was judged by.
            now: When this batch was recorded, in UTC.
        """
        first, connection = self._reached(snapshot)[0], fact.require_connection(snapshot)
        if first.id == connection.id:
            return None
        # All batches revoke at one instant.
        latest = clamp_to_updated_at(connection, now)
        happened_at = now if self.happened_at is None else min(self.happened_at, latest)
        return attrs.evolve(
            self, before=first.identity.position, happened_at=happened_at, page_url=None
        )

    def _reached(self, snapshot: Snapshot) -> tuple[Connection, ...]:
        # The connections of this batch, nearest to the fact's own connection first.
        connection = fact.require_connection(snapshot)
        # A store may load more of the chain than it must.
        later = [
            each
            for each in snapshot.following
            if self.before is None or each.identity.position < self.before
        ][-self.size :]
        if later and later[0].identity.predecessor_id != connection.id:
            return tuple(later)
        return (connection, *later)


def first_step(given: fact.Fact, size: int) -> fact.Fact:
    """Return the fact to record first: a `RevokedBatch` if `given` revokes a chain, else `given`.

    A chain can be too long for one commit. The `RevokedBatch` revokes the last connections of the
    chain; its method `rest` returns the next batch. A fact of a subclass of `Revoked` is returned
    as it is.

    Args:
        given: The fact that was reported.
        size: The most connections that one batch revokes, not counting that of `given`.
    """
    # A subclass may decide in another way, so it is recorded as it is.
    if type(given) is not Revoked or not reaches_chain(given.actor):
        return given
    return RevokedBatch(
        connection_id=given.connection_id,
        actor=given.actor,
        happened_at=given.happened_at,
        page_url=given.page_url,
        size=size,
    )
