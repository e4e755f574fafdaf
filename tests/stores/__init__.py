"""Tests of the stores that run on something else: Django's connections, Redis."""
