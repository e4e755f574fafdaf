"""Decisions on one request or one fact: its needs, its gates, its changes."""
