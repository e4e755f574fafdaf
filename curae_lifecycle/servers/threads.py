"""An app of WSGI behind ASGI, in a bounded number of threads that stay.

The law of this module: **a thread is kept**, and with it the connection to the database that a
framework has for each thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from a2wsgi import WSGIMiddleware
from a2wsgi.wsgi_typing import WSGIApp

from curae_lifecycle.servers.guard import AsgiApp

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def in_threads(app: WSGIApplication, threads: int) -> AsgiApp:
    """Run an app of WSGI in threads; what came stands in its environment's `asgi.scope`.

    Put a `Guard` before it that lets in as many requests at once as there are threads: the queue
    behind it has no bound.

    Args:
        app: The app.
        threads: How many threads there are at most.
    """
    return cast("AsgiApp", WSGIMiddleware(cast("WSGIApp", app), workers=threads))
