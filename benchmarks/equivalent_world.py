"""Equivalent mutants of simulated worlds, with proofs.

No seed can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_WORLD: Final = "testing.simulation.world.Simulation"

EQUIVALENT_WORLD: Final[dict[Key, str]] = {
    (
        f"{_WORLD}._follow_page",
        "case _: pass",
        "",
    ): "A write that no case fits changes nothing.",
    (
        f"{_WORLD}._handle_answer",
        'code = " " + response.body.partition(b\'"code":"\')[2].partition(b\'"\')[0].decode()',
        'code = " " + response.body.rpartition(b\'"code":"\')[2].partition(b\'"\')[0].decode()',
    ): "A problem has one member `code`, and JSON escapes the quotes in a text.",
}
