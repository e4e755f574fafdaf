"""The rules: their terms, their tables and plain functions. No I/O, no clock, no HTTP."""
