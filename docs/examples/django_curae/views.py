"""The one view: a request as it came, in one transaction, and its answer."""

from __future__ import annotations

import service
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from curae_lifecycle import Request, Response
from django_curae.store import transact


# No cookie tells who calls: the API goes by its key, a hosted page by its URL.
@csrf_exempt
def endpoint(http: HttpRequest) -> HttpResponse:
    """Answer one request; the rules know paths and methods."""
    # PATH_INFO is decoded; the request line as it came is what the rules read.
    target = str(http.META["REQUEST_URI"])
    body = http.read(service.BODY_MAX + 1)
    request = Request(http.method or "", target, tuple(http.headers.items()), service.whole(body))
    response = respond_to(request)
    # Not every server drops the body that a HEAD must not have.
    answer = HttpResponse(b"" if http.method == "HEAD" else response.body, status=response.status)
    del answer["content-type"]
    if response.body:
        answer["content-length"] = str(len(response.body))
    for name, value in response.headers:
        answer[name] = value
    return answer


def unmatched(http: HttpRequest, _: Exception) -> HttpResponse:
    """Answer what no pattern of Django's matches, such as `OPTIONS *`, like everything else."""
    return endpoint(http)


def respond_to(request: Request) -> Response:
    """Answer one request, in a transaction of its own."""
    try:
        return transact(lambda store: service.serve(store, request, service.now()))
    except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
        return service.failed(error)
