"""What a server chooses, once."""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.rules.errors import ArgumentError
from curae_lifecycle.rules.problems import DEFAULT_TYPE_BASE
from curae_lifecycle.rules.ratelimit import Bucket
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.operations.operation import Operation
from curae_lifecycle.service.operations.registry import OPERATIONS

SPELLINGS: Final = ("ACTIVE", "AUTHORIZED")
"""How ACTIVE may be spelled on the wire [P]."""


@attrs.frozen
class Settings:
    """What a server chooses; a call carries it, so nothing after that asks for it again.

    Attributes:
        environment: The one environment it serves; `None` for both.
        buckets: The platform's standard buckets, one of each per API key; names are unique.
        type_base: The base URI of a problem's `type`.
        active_spelling: How ACTIVE is spelled on the wire: ACTIVE, or AUTHORIZED [P].
        operations: The operations that it serves.
    """

    environment: Environment | None = None
    buckets: tuple[Bucket, ...] = ()
    type_base: str = DEFAULT_TYPE_BASE
    active_spelling: str = "ACTIVE"
    operations: tuple[type[Operation], ...] = OPERATIONS

    def __attrs_post_init__(self) -> None:
        """Refuse what would mix up states, routes or spellings."""
        if self.active_spelling not in SPELLINGS:
            raise ArgumentError("active_spelling", f"one of {', '.join(SPELLINGS)}")
        if len({bucket.name for bucket in self.buckets}) < len(self.buckets):
            raise ArgumentError("buckets", "of different names")
        if len({each.rule.name for each in self.operations}) < len(self.operations):
            raise ArgumentError("operations", "of different names")


DEFAULT_SETTINGS: Final = Settings()
"""Both environments, no buckets, and whatever else a server need not choose."""
