"""Tests of the stores: in memory, in SQL, on Django's connections and in Redis."""
