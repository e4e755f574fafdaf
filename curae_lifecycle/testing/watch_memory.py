"""Values that a `Watch` remembers about idempotency keys and rate limits."""

from __future__ import annotations

from datetime import datetime

import attrs

from curae_lifecycle.rules.idempotency import StoredResponse


@attrs.define
class UsedKey:
    """An idempotency key that was completed or erased.

    Attributes:
        first_used_at: The instant of its first use.
        response: The stored response; `None` if there is none.
        erased_at: The number of the commit that erased the response, if any.
    """

    first_used_at: datetime
    response: StoredResponse | None
    erased_at: int | None = None


@attrs.define
class Admissions:
    """The latest admissions by a limit of one app user.

    Attributes:
        instants: The instants, in order.
        last_commit: The number of the commit that stored the last admission.
    """

    instants: list[datetime]
    last_commit: int
