"""Proofs and searches of the arithmetic of limits and intervals; see `prove`."""
