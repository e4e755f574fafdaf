"""Bytes to calls and decisions to bytes: JSON, shapes, the endpoint, OpenAPI."""
