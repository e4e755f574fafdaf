"""What a test author needs, whether of this library or of a server built on it.

The law of this package: **nothing here is needed at run time, and nothing here decides**. It
draws values that the rules can reach, and judges what the rules, or a server, made of them.

- `curae_lifecycle.testing.laws`: the sixteen laws as plain functions, for whoever holds
  snapshots, answers, responses or a store against them. It needs nothing but the library.
- `curae_lifecycle.testing.strategies`: Hypothesis strategies for every public value; import it
  where Hypothesis is installed. Its `register()` makes `st.from_type` draw the same values.

This file imports neither, so the laws can be used without Hypothesis.
"""
