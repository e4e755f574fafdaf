"""Small domains of the pure functions: each is walked whole, every answer compared."""
