"""A log of real traffic, held against the rules."""
