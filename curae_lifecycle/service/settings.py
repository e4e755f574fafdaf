"""Settings of a server."""

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
"""The spellings of ACTIVE on the wire [P]."""


@attrs.frozen
class Settings:
    """The settings of a server; each `Call` carries them.

    Attributes:
        environment: The one environment that the server serves; `None` for both.
        buckets: The rate-limit buckets that each API key has; their names are unique.
        type_base: The base URI of the `type` of every problem.
        active_spelling: The spelling of ACTIVE on the wire: ACTIVE, or AUTHORIZED [P].
        operations: The operations that the server serves; their names are unique. The default is
            `OPERATIONS`.
    """

    environment: Environment | None = None
    buckets: tuple[Bucket, ...] = ()
    type_base: str = DEFAULT_TYPE_BASE
    active_spelling: str = "ACTIVE"
    # A factory, because `help` would show a default of seven classes in full.
    operations: tuple[type[Operation], ...] = attrs.field(factory=lambda: OPERATIONS)

    def __attrs_post_init__(self) -> None:
        """Refuse an unknown spelling, and buckets or operations with the same name."""
        if self.active_spelling not in SPELLINGS:
            raise ArgumentError("active_spelling", f"one of {', '.join(SPELLINGS)}")
        if len({bucket.name for bucket in self.buckets}) < len(self.buckets):
            raise ArgumentError("buckets", "of different names")
        if len({each.rule.name for each in self.operations}) < len(self.operations):
            raise ArgumentError("operations", "of different names")

    def __repr__(self) -> str:
        # Only what differs from the default, because signatures in `help` show default settings.
        values = attrs.asdict(self, recurse=False)
        defaults = attrs.asdict(DEFAULT_SETTINGS, recurse=False)
        changed = [f"{name}={values[name]!r}" for name in values if values[name] != defaults[name]]
        return f"Settings({', '.join(changed)})"


DEFAULT_SETTINGS: Final = Settings()
"""The default settings: both environments, no buckets."""
