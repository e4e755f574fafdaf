"""The conformance kit: hold any server against the rules, from outside.

The law of this package: **a server is judged by what it answers and by nothing else**, and what
could not be judged is said by name.

Give `Server` a function that sends a request and one that makes an API key, and as many of the
hooks as your server has; `run` runs every check that they allow and reports the rest as not run.
`conformance_tests` makes one test of pytest of each check. `AsyncServer`, `run_async` and
`async_conformance_tests` are the same for coroutine functions.
"""

from __future__ import annotations

from curae_lifecycle.service.response import Response
from curae_lifecycle.testing.conformance.catalogue import CHECKS, UNSEEN, UNSEEN_LAWS, checks
from curae_lifecycle.testing.conformance.check import Check
from curae_lifecycle.testing.conformance.driving import Failure, NotRun, Report, run, run_async
from curae_lifecycle.testing.conformance.server import HOOKS, AsyncServer, KeyWanted, Server
from curae_lifecycle.testing.conformance.suite import async_conformance_tests, conformance_tests
from curae_lifecycle.web.request import Request

__all__ = [
    "CHECKS",
    "HOOKS",
    "UNSEEN",
    "UNSEEN_LAWS",
    "AsyncServer",
    "Check",
    "Failure",
    "KeyWanted",
    "NotRun",
    "Report",
    "Request",
    "Response",
    "Server",
    "async_conformance_tests",
    "checks",
    "conformance_tests",
    "run",
    "run_async",
]
