"""Tools for test authors: for tests of this library, and of servers built on it.

The law of this package: **nothing here is needed at run time, and nothing here decides**. It
draws values that the rules can reach. It also judges the results of the rules, or of a server.

- `laws`: the eighteen laws as plain functions that check snapshots, answers, responses or a store.
  They depend on the library alone.
- `watch`: the laws checked against a running system, one commit and one answer at a time.
- `store_invariants`: the laws checked against everything that an idle store holds.
- `strategies`: Hypothesis strategies for every public value. It needs Hypothesis. After its
  `register()`, `st.from_type` draws the same values.
- `conformance`: a kit that checks any server against the rules from outside.
- `races`: every pair of concurrent actions in a store, compared with the two sequential orders.
- `simulation`: worlds of failing clients, networks and workers, on simulated time.
- `cells`: the cells of the tables that a run reached.

This file imports none of them, so the laws can be used without Hypothesis.
"""
