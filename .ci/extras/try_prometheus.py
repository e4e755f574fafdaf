"""The extra `prometheus`: an endpoint that counts its requests."""

from serving import CALLER, CREATE, IDS, KEY, check

from curae_lifecycle import MemoryStore, Request
from curae_lifecycle.servers.endpoint import Endpoint
from curae_lifecycle.servers.metrics import Metrics

store = MemoryStore()
store.register(KEY, CALLER)
endpoint = Endpoint(store, IDS, counters=Metrics())
check(endpoint(CREATE), endpoint(CREATE))
assert b"curae_requests_total" in endpoint(Request("GET", "/metrics")).body
