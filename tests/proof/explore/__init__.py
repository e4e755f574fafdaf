"""Exhaustive exploration: everything that can happen in a small world, by the real functions.

The law of this package: **what is explored is what runs**. No model repeats a rule: every step
calls the library's own functions, and the laws are judged by `curae_lifecycle.testing.laws`.

- `engine`: breadth first, safety and liveness, a shortest trace of what must not happen.
- `clients`: clients that share a store, and the three reductions.
- `single`, `chain`, `account`, `races`, `key`, `limit`: the worlds.
- `ends`: both sides of the end of every interval.
- `published`: the runs whose figures are published and pinned.
"""
