"""Stores that keep rate limits in Redis or Valkey and everything else in another store."""
