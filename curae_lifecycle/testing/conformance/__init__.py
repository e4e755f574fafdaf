"""The conformance kit: checks that hold any server against the rules, from outside.

The law of this package: **a server is judged by its responses and by what its hooks return, and by
nothing else**. A check that cannot run is reported by name.

Give `Server` a function that sends a request, a function that makes an API key, and as many hooks
as your server supports. `run` runs every check that these hooks allow, and reports the others as
not run. `conformance_tests` makes one pytest test for each check. For coroutine functions, use
`AsyncServer`, `run_async` and `async_conformance_tests`.
"""

from __future__ import annotations

from curae_lifecycle.service.response import Response as Response
from curae_lifecycle.testing.conformance.all_checks import CHECKS as CHECKS
from curae_lifecycle.testing.conformance.all_checks import UNSEEN as UNSEEN
from curae_lifecycle.testing.conformance.all_checks import UNSEEN_LAWS as UNSEEN_LAWS
from curae_lifecycle.testing.conformance.all_checks import checks as checks
from curae_lifecycle.testing.conformance.check import Check as Check
from curae_lifecycle.testing.conformance.results import CheckOutcome as CheckOutcome
from curae_lifecycle.testing.conformance.results import Failure as Failure
from curae_lifecycle.testing.conformance.results import NotRun as NotRun
from curae_lifecycle.testing.conformance.results import Progress as Progress
from curae_lifecycle.testing.conformance.results import Report as Report
from curae_lifecycle.testing.conformance.runner import run as run
from curae_lifecycle.testing.conformance.runner import run_async as run_async
from curae_lifecycle.testing.conformance.server import HOOKS as HOOKS
from curae_lifecycle.testing.conformance.server import ApiKeyRequest as ApiKeyRequest
from curae_lifecycle.testing.conformance.server import AsyncServer as AsyncServer
from curae_lifecycle.testing.conformance.server import Server as Server
from curae_lifecycle.testing.conformance.steps import NotSeenError as NotSeenError
from curae_lifecycle.testing.conformance.suite import (
    async_conformance_tests as async_conformance_tests,
)
from curae_lifecycle.testing.conformance.suite import conformance_tests as conformance_tests
from curae_lifecycle.testing.conformance.timeout import DEFAULT_TIMEOUT as DEFAULT_TIMEOUT
from curae_lifecycle.web.request import Request as Request
