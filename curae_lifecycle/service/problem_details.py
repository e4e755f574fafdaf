"""Keys of the `details` of a problem: the meaning, the JSON schema and an example of each.

The law of this module: **every key of the catalogue is described**. A key without a row cannot be
imported.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import attrs

from curae_lifecycle.rules.binding import AccountState
from curae_lifecycle.rules.connection import Standing
from curae_lifecycle.rules.problems import CATALOGUE, DetailValue, Fault
from curae_lifecycle.rules.ratelimit import INITIATE_LIMIT
from curae_lifecycle.rules.session import EntryPath
from curae_lifecycle.rules.tables import check_keys
from curae_lifecycle.rules.values import Environment
from curae_lifecycle.service.json_schema import (
    TEXT,
    TIME,
    UUID,
    Json,
    Schema,
    enum_of,
    or_null,
)


@attrs.frozen
class Detail:
    """The description of one key of a problem's `details`.

    Attributes:
        meaning: The meaning of the value, in a sentence.
        schema: The JSON schema of the value.
        example: A sample value; `None` for the key `reason`, whose values depend on the problem.
    """

    meaning: str
    # Not `Schema`: with that alias `typing.get_type_hints` fails.
    schema: dict[str, Json]
    example: DetailValue


_SECONDS: Final[Schema] = {"type": "integer", "minimum": 1, "description": "Whole seconds."}
_HALF_PAST_NINE: Final = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)

# fmt: off
DETAILS: Final[dict[str, Detail]] = {
    "member": Detail("The member at fault; null for the whole body, or for an unknown member.",
        or_null(TEXT), "dataPackages"),
    "fault": Detail("The fault of that member.", enum_of(Fault), Fault.MISSING),
    "scope": Detail("The scope that the API key lacks.", TEXT, "connection:write"),
    "environment": Detail("The environment of the API key, which this server does not serve.",
        enum_of(Environment), Environment.TEST),
    "connectionId": Detail("The connection of the request.", UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d01"),
    "nextConnectionId": Detail("The connection that took its place.",
        UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d02"),
    "headConnectionId": Detail("The last connection of the chain: the one to go on with.",
        UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d04"),
    "dataPackage": Detail("The package of the request.", TEXT, "clinical_summary"),
    "reason": Detail("The reason of the refusal; the rules below name it.", TEXT, None),
    "standing": Detail("The standing of the connection at that instant.", enum_of(Standing), Standing.REVOKED),
    "deadline": Detail("The instant at which the hosted page ended.", TIME, _HALF_PAST_NINE),
    "sessionId": Detail("The session of the request.", UUID, "6b7f2a52-0d5e-4a34-9f57-0a8f5f1c2d03"),
    "expiresAt": Detail("The instant at which the session ended.", TIME, _HALF_PAST_NINE),
    "path": Detail("The path of the session.", enum_of(EntryPath), EntryPath.SILENT_LIMITED),
    "lifecycleState": Detail("The state of the account.", enum_of(AccountState), AccountState.ACTIVE),
    "retryAfter": Detail("Seconds to wait before a retry, as in `Retry-After`.", _SECONDS, 12),
    "differs": Detail("The part that differs from the first request with that key: the operation or its values.",
        enum_of(("operation", "values")), "values"),
    "policy": Detail("The limit that refused.", TEXT, INITIATE_LIMIT.name),
}
"""The description of each key of `details`.

The description of `reason` has no example: its values depend on the problem, and
`rulebook.reasons_of` returns them.
"""
# fmt: on

for _row in CATALOGUE.rows:
    check_keys("problem-details", DETAILS, _row.outcome.details)
