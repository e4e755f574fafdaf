"""Servers, stores and functions with one mistake each, and the catalogue that lists them."""
