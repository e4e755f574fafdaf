"""Equivalent mutants of the conformance kit's checks, with proofs.

No server can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_KIT: Final = "testing.conformance"

_SAME_LENGTH: Final = "Both have three values."
_IN_AN_ID: Final = (
    "A second match is a part of an id, in whose place the id of a connection is sent."
)
_NOT_READ: Final = "It is read for a sign-up alone, which sets it."

EQUIVALENT_CHECKS: Final[dict[Key, str]] = {
    **{
        (
            f"{_KIT}.gates._capitalize",
            (
                'return re.sub(r"[a-z]+(?=[^a-z]*$|/{\\w+}$)", '
                "lambda word: word[0].capitalize(), path, count=1)"
            ),
            (
                'return re.sub(r"[a-z]+(?=[^a-z]*$|/{\\w+}$)", '
                f"lambda word: word[0].capitalize(), path, {count})"
            ),
        ): _IN_AN_ID
        for count in ("", "count=2")
    },
    **{
        (
            f"{_KIT}.recovery.superseded_by",
            (
                "same(details, dict(zip(ids, (connection_id, successor, head), strict=True)), "
                '"details")'
            ),
            f'same(details, dict(zip(ids, (connection_id, successor, head), {strict})), "details")',
        ): _SAME_LENGTH
        for strict in ("strict=None", "strict=False", "")
    },
    (
        f"{_KIT}.separation._date",
        "return parsedate_to_datetime(value).replace(tzinfo=UTC)",
        "return parsedate_to_datetime(value).replace(tzinfo=None)",
    ): "Only the difference of two such values counts, and both change alike.",
    (
        f"{_KIT}.sessions.bring_account_to",
        "case AccountState.UNLINKED: pass",
        "",
    ): "A state that no case fits changes nothing.",
    **{
        (f"{_KIT}.sessions._binds", 'pending_session = ""', f"pending_session = {other}"): _NOT_READ
        for other in ("None", '"XXXX"')
    },
    (
        f"{_KIT}.sessions._binds",
        'yield from client.record_by_hook("tombstone", app.coordinate(name), expected=expected)',
        'yield from client.record_by_hook("tombstone", app.coordinate(name), )',
    ): "The table says that every tombstone is done, and that is the default.",
}
