"""Mutants of the bodies of checks that no server can tell, each with the proof.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_KIT: Final = "testing.conformance"

EQUIVALENT_BODIES: Final[dict[Key, str]] = {
    (
        f"{_KIT}.accounts._not_modified",
        """for value in ('"other"', tag.strip('"'), f'"{tag[1:-1]}x"', f"w/{tag}"):""",
        """for value in ('"other"', tag.strip('XX"XX'), f'"{tag[1:-1]}x"', f"w/{tag}"):""",
    ): "A text without its quotes is no entity tag either way.",
    (
        f"{_KIT}.idempotency_key_header._key_valid",
        'longest = (app.new_key() + "x" * 255)[:255]',
        'longest = (app.new_key() + "x" * 256)[:255]',
    ): "The slice cuts one more character off.",
    (
        f"{_KIT}.idempotency_key_header._key_not_allowed",
        "plain = build_request(app, kind, about(connection_id))",
        "plain = build_request(app, kind, about(None))",
    ): "The only operation that allows no key does not take the id of a connection.",
    **{
        (
            f"{_KIT}.separation._owners_share_no_keys",
            'request, seen = app.create("user", key=app.new_key()), set[str]()',
            f'request, seen = app.create("user", {other}), set[str]()',
        ): "`create` makes a fresh key if it is given none."
        for other in ("key=None", "")
    },
    **{
        (
            f"{_KIT}.tombstones._nobody_bound",
            'connection_id = ""',
            f"connection_id = {other}",
        ): "The loop assigns it before it is read."
        for other in ("None", '"XXXX"')
    },
}
