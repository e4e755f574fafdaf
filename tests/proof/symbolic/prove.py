"""Prove the claims about the arithmetic: `python -m tests.proof.symbolic.prove`.

Each claim runs the production functions on numbers that represent all values. Then it runs them
again with one mistake built in, and must be refuted.
"""

from __future__ import annotations

import sys
from time import perf_counter

from tests.proof.symbolic import instants, limits
from tests.proof.symbolic.claims import is_refuted
from tests.proof.symbolic.integers import Refuted, prove


def main() -> int:
    """Prove every claim and refute every mistake.

    Returns:
        The exit status: 1 if a claim is refuted, or a mistake is not.
    """
    failed = proven = refuted = 0
    for claim in (*instants.claims(), *limits.claims()):
        started = perf_counter()
        try:
            proof = prove(claim.check)
        except Refuted as found:
            _say(f"REFUTED {claim.says}\n    {found}")
            failed += 1
            continue
        proven += 1
        for mistake in claim.mistakes:
            if is_refuted(claim, mistake):
                refuted += 1
            else:
                _say(f"NOT REFUTED {claim.says}\n    with {mistake.wrong!r} built in")
                failed += 1
        _say(
            f"proven  {claim.says} ({proof.paths} paths, {proof.questions} questions, "
            f"{len(claim.mistakes)} mistakes refuted, {perf_counter() - started:.1f} s)"
        )
    _say(f"{proven} claims proven, {refuted} mistakes refuted, {failed} failures")
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
