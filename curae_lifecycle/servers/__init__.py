"""Parts of a running server: endpoint, guard, health checks, logging, metrics and start."""
