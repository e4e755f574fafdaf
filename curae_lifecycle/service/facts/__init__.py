"""The facts, one file each."""
