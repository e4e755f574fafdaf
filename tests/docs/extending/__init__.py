"""The edits of the package that `docs/extending.md` shows, applied to a copy."""
