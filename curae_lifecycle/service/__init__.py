"""One request or one fact, decided: what it needs, its gates, its changes."""
