"""Values that a `Watch` remembers about idempotency keys."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.idempotency import StoredResponse


@attrs.define
class UsedKey:
    """An idempotency key whose response a `Watch`, which checks the laws, saw stored or erased.

    Attributes:
        first_used_at: The instant of the key's first use.
        response: The stored response, which is kept after an erasure; `None` if the `Watch` saw
            only the erasure.
        erased_after: The number of observed commits (`Watch.commit_count`) just after the commit
            that erased the response; `None` if no commit did. A replay whose values were loaded
            after that commit breaks law 9.
    """

    first_used_at: datetime
    response: StoredResponse | None
    erased_after: int | None = None
