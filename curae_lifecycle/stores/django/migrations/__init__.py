"""The migrations: which tables there are, release by release."""
