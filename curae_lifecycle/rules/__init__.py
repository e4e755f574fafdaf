"""What is decided: words, tables and plain functions; no I/O, no clock, no HTTP."""
