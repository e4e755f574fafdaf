"""Small domains of the pure functions, each walked whole and compared."""
