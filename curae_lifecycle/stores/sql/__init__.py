"""SQL stores for SQLite, PostgreSQL and MariaDB, for any code that can run a statement."""
