"""Charges of one app user's log by servers with different windows."""

from __future__ import annotations

from typing import Final

from curae_lifecycle.rules.ratelimit import FRESH_LOG, ExactLog, admit_one
from curae_lifecycle.service.changes import Changes
from curae_lifecycle.service.rate_keys import LimitKey
from curae_lifecycle.service.snapshot import Needs
from curae_lifecycle.service.writes import RateWrite
from curae_lifecycle.stores.contract import Store
from tests.support.strategies import COORDINATE

A_MINUTE: Final = ExactLog("remind", 3, 60)
A_DAY: Final = ExactLog("remind", 3, 86_400)
WINDOWS: Final = (A_MINUTE, A_DAY, A_MINUTE)
"""The windows of three charges: the longest is that of neither the first nor the last."""

KEY: Final = LimitKey(COORDINATE.app_user, "remind")


def charge_log(store: Store, policy: ExactLog, key: LimitKey = KEY) -> bool:
    """Charge a log once, now; return whether it was admitted."""
    loaded = store.load(Needs(limit=key))
    before = loaded.snapshot.limit
    after = admit_one(policy, FRESH_LOG if before is None else before, loaded.now)
    if isinstance(after, int):
        return False
    write = RateWrite(key=key, policy=policy, before=before, after=after)
    assert store.commit(loaded, Changes((write,)))
    return True
