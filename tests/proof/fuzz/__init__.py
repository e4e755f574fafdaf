"""Fuzz tests of every parser: a corpus, a mutator and the promises of each target."""
