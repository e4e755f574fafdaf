"""Equivalent mutants of the Hypothesis strategies, with proofs.

No caller can distinguish them from the code.

The law of this module is that of `equivalent.py`: **every entry has a proof**.
"""

from __future__ import annotations

from typing import Final

from benchmarks.equivalent import Key

_SAME_LENGTH: Final = "`product` makes one value for each name, so the lengths are equal."
_REFUSAL_ALONE: Final = "Only a refusal names the head of the chain, and a refusal is dropped."
_ANY_OFFSET: Final = "`offsets` draws each span from 0 to 3 hours, so the domain is the same."
_OFFSETS: Final = (
    "request_offsets = st.one_of(st.integers({}).map(lambda s: timedelta(seconds=s)), offsets())"
)
_LARGE_BUCKET: Final = 'large_buckets = (Bucket(name="platform", {}),)'
_LIKELIER: Final = "The longest chain is drawn 13 times in 19, which is still about one in twelve."


EQUIVALENT_STRATEGIES: Final[dict[Key, str]] = {
    (
        "testing.strategies.binding.sessions",
        "binding=initiated.binding,",
        "binding=None,",
    ): "Only Path B awaits a hand-off, and there no user is bound.",
    **{
        (
            "testing.strategies.connection._templates",
            "yield FactTemplate(kind, delay, tuple(zip(names, chosen, strict=True)))",
            f"yield FactTemplate(kind, delay, tuple(zip(names, chosen, {other})))",
        ): _SAME_LENGTH
        for other in ("strict=None", "", "strict=False")
    },
    (
        "testing.strategies.connection.chains",
        "lapses = st.sampled_from([*range(longest), *[longest] * 12]).map(",
        "lapses = st.sampled_from([*range(longest), *[longest] * 13]).map(",
    ): _LIKELIER,
    (
        "testing.strategies.connection._reconnect",
        "head=chain[-1],",
        "head=None,",
    ): _REFUSAL_ALONE,
    (
        "testing.strategies.connection._reconnect",
        "head=chain[-1], )",
        ")",
    ): _REFUSAL_ALONE,
    **{
        (
            "testing.strategies.from_traffic._runs_ending_with",
            _LARGE_BUCKET.format("capacity=100, refill=1, seconds=1"),
            _LARGE_BUCKET.format(sizes),
        ): "No run uses 100 tokens, so that the bucket admits every request; no promise names its sizes."
        for sizes in (
            "capacity=101, refill=1, seconds=1",
            "capacity=100, refill=2, seconds=1",
            "capacity=100, refill=1, seconds=2",
        )
    },
    **{
        (
            "testing.strategies.limit.charges",
            _OFFSETS.format("0, 3"),
            _OFFSETS.format(span),
        ): _ANY_OFFSET
        for span in ("1, 3", "0, 4")
    },
}
"""The proof for each mutant, by its function, its lines in the code and its changed lines."""
