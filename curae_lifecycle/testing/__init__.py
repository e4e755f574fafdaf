"""What a test author needs, whether of this library or of a server built on it.

The law of this package: **nothing here is needed at run time, and nothing here decides**. It
draws values that the rules can reach, and judges what the rules, or a server, made of them.

- `laws`: the sixteen laws as plain functions, to hold snapshots, answers, responses or a store
  against. They need nothing but the library.
- `watch`: the laws held against a running system, one commit and one answer at a time.
- `strategies`: Hypothesis strategies for every public value; import it where Hypothesis is
  installed. Its `register()` makes `st.from_type` draw the same values.
- `conformance`: a kit that holds any server against the rules from outside.
- `races`: any two that meet in a store, beside what one after the other leaves.
- `simulation`: worlds of clients that fail, on simulated time.
- `cells`: which cells of the tables a run reached.

This file imports none of them, so the laws can be used without Hypothesis.
"""
