"""The SQL store as a Django app, on Django's own database connection."""
