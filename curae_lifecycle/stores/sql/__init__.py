"""A store in SQL: SQLite, PostgreSQL and MariaDB, whatever runs the statements."""
