"""Servers that answer problems wrong."""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import Request, header
from tests.bugs.bug import VisibleBug
from tests.bugs.service import (
    Service,
    code_of,
    document,
    with_body,
    with_header,
    with_members,
    without_header,
)


class _Problems(Service):
    """Does something to every problem."""

    def said(self, response: Response) -> Response:
        return response

    def answered(self, response: Response) -> Response:
        return self.said(response) if response.status >= 400 else response


class ProblemIsPlainJson(_Problems):
    def said(self, response: Response) -> Response:
        return with_header(response, "content-type", "application/json")


class ProblemWithoutCode(_Problems):
    def said(self, response: Response) -> Response:
        body = document(response)
        del body["code"]
        return with_body(response, body)


class ProblemWithoutDetails(_Problems):
    def said(self, response: Response) -> Response:
        body = document(response)
        del body["details"]
        return with_body(response, body)


class ProblemStatusOff(_Problems):
    def said(self, response: Response) -> Response:
        return with_members(response, "", status=400)


class ProblemAlwaysRetryable(_Problems):
    def said(self, response: Response) -> Response:
        return with_members(response, "", retryable=True)


class ProblemTypeBlank(_Problems):
    def said(self, response: Response) -> Response:
        return with_members(response, "", type="about:blank")


class ProblemWithATrace(_Problems):
    def said(self, response: Response) -> Response:
        return with_members(response, "", trace="File server.py, line 1")


class UnknownHasAnInstance(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if code_of(response) != "NOT_FOUND":
            return response
        return with_members(response, "", instance=request.target)


class NoChallenge(_Problems):
    def said(self, response: Response) -> Response:
        return without_header(response, "www-authenticate")


class KeyInTheProblem(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if response.status != 401:
            return response
        said = " ".join(header(request, "authorization"))
        return with_members(response, "", detail=f"{said} is no API key.")


class MalformedIs422(_Problems):
    def said(self, response: Response) -> Response:
        if code_of(response) != "BAD_REQUEST":
            return response
        return attrs.evolve(with_members(response, "", status=422), status=422)


class ValueInTheProblem(Service):
    def sent(self, request: Request, response: Response) -> Response:
        if code_of(response) != "BAD_REQUEST":
            return response
        body = request.body.decode(errors="replace") if isinstance(request.body, bytes) else ""
        return with_members(response, "details", value=body)


class ProblemInHtml(_Problems):
    def said(self, response: Response) -> Response:
        if response.status != 404:
            return response
        page = attrs.evolve(response, body=b"<h1>Not Found</h1>")
        return with_header(page, "content-type", "text/html")


BUGS: Final = (
    VisibleBug(
        "problem-is-plain-json",
        "A problem has the media type of JSON.",
        "law 16",
        "",
        (
            "request.body.no-object",
            "law-16.problems",
        ),
        ProblemIsPlainJson,
    ),
    VisibleBug(
        "problem-without-code",
        "A problem has no code, so clients parse its sentence.",
        "law 13; law 16",
        "plaid/plaid-link-ios#25",
        (
            "graduation-handoff.unlinked",
            "law-16.problems",
        ),
        ProblemWithoutCode,
    ),
    VisibleBug(
        "problem-without-details",
        "A problem has no details.",
        "law 13; law 16",
        "",
        (
            "graduation-handoff.unlinked",
            "law-16.problems",
        ),
        ProblemWithoutDetails,
    ),
    VisibleBug(
        "problem-status-off",
        "The status in a problem's body is not the response's.",
        "law 16",
        "",
        (
            "request.credentials",
            "law-16.problems",
        ),
        ProblemStatusOff,
    ),
    VisibleBug(
        "problem-always-retryable",
        "Every problem says that a retry may help.",
        "law 16; problems",
        "",
        (
            "request.body.no-object",
            "law-16.problems",
        ),
        ProblemAlwaysRetryable,
    ),
    VisibleBug(
        "problem-type-blank",
        "The type of every problem is about:blank.",
        "section 7, type is a base and the code",
        "",
        ("law-16.problems",),
        ProblemTypeBlank,
    ),
    VisibleBug(
        "problem-with-a-trace",
        "A problem shows where in the server it arose.",
        "law 13",
        "",
        ("request.body.no-object",),
        ProblemWithATrace,
    ),
    VisibleBug(
        "unknown-has-an-instance",
        "A 404 has an instance.",
        "section 7, a 404 never has one",
        "",
        ("request.route",),
        UnknownHasAnInstance,
    ),
    VisibleBug(
        "no-challenge",
        "A 401 has no WWW-Authenticate.",
        "section 6, a 401 carries a challenge",
        "",
        ("request.credentials",),
        NoChallenge,
    ),
    VisibleBug(
        "key-in-the-problem",
        "A 401 repeats the API key that was sent.",
        "section 6, keys are in no problem",
        "",
        ("law-13.nothing-internal",),
        KeyInTheProblem,
    ),
    VisibleBug(
        "malformed-is-422",
        "A malformed body is answered 422.",
        "problem.bad-request",
        "frameworks' default; IETF idempotency draft #42 on the collision",
        ("idempotency.not-kept.400",),
        MalformedIs422,
    ),
    VisibleBug(
        "value-in-the-problem",
        "A problem repeats what was sent.",
        "law 13",
        "",
        ("request.body.no-object",),
        ValueInTheProblem,
    ),
    VisibleBug(
        "problem-in-html",
        "A 404 is a page in HTML.",
        "law 16",
        "",
        (
            "request.route",
            "law-16.problems",
        ),
        ProblemInHtml,
    ),
)
"""What is wrong with problems."""
