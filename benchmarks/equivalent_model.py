"""Mutants of the kit's model and of its checks of triggers and gates, each with the proof.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_KIT: Final = "testing.conformance"

_NO_GATE: Final = "The name is only compared with the gates in `GATES`, and is none of them."

EQUIVALENT_MODEL: Final[dict[Key, str]] = {
    **{
        (
            f"{_KIT}.gate_order._Scene.failures",
            f'yield "{name}", {change}',
            f'yield "{other}", {change}',
        ): _NO_GATE
        for name, change in (("limit", '{"user": "busy"}'), ("rule", "{}"))
        for other in (f"XX{name}XX", name.upper())
    },
    (
        f"{_KIT}.gate_order._build_scene",
        'yield from send(build_request(app, kind, about(pending, "busy")))',
        'yield from send(build_request(app, kind, about(None, "busy")))',
    ): "No operation with a limit takes a connection's id.",
}
