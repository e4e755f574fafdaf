"""The steps of `docs/extending.md` that change the package, applied to a copy of it."""
