"""Parts of a running server: endpoint, guard, health checks, logging, metrics and start.

- `endpoint.Endpoint` and `endpoint.AsyncEndpoint` answer every request, and log it.
- `log.configure_logging` writes the log as lines of JSON.
- `metrics.Metrics` counts for Prometheus; it needs the extra `prometheus`.
- `guard.Guard` limits the requests that an ASGI app gets, and their time.
- `run.run` serves an app with Granian; it needs the extra `servers`.
"""
