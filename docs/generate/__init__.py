"""Generators of the pages of this repository that are not written by hand."""
