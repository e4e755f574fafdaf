"""The command line; no other part of the package prints."""
