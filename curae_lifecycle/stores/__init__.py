"""Stores: their contract, the loop that serves requests over it, and ready-made stores.

- `memory.MemoryStore` keeps everything in the memory of one process.
- `sql.store.SqlStore` and `AsyncSqlStore` keep everything in SQLite, PostgreSQL or MariaDB;
  help("curae_lifecycle.stores.sql") shows how to open one.
- `django.database.DjangoDatabase` runs a `SqlStore` on Django's own connections.
- `redis.limits.RedisLimitsStore` keeps rate limits in Redis, and the rest in another store.
- `contract.Store` and `contract.AsyncStore` are what a store of your own implements.
"""
