"""Rate limits in Redis or Valkey, everything else in another store."""
