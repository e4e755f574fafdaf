"""Exhaustive exploration of small worlds with the library's functions.

The law of this package: **what is explored is what runs**. No model repeats a rule: every step
calls the library's own functions, and `curae_lifecycle.testing.laws` checks the laws.

- `engine`: breadth-first search, safety and liveness, shortest traces.
- `clients`: clients that share a store, and the three reductions.
- `single`, `chain`, `account`, `races`, `key`, `limit`: the worlds.
- `ends`: both sides of the end of every interval.
- `published`: the runs with published figures.
"""
