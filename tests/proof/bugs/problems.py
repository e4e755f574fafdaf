"""Servers with wrong problem documents."""

from __future__ import annotations

from typing import Final

import attrs

from curae_lifecycle.service.response import Response
from curae_lifecycle.web.request import Request, header_values
from tests.proof.bugs.bug import VisibleBug
from tests.proof.bugs.service import (
    Service,
    code_of,
    document,
    with_body,
    with_header,
    with_members,
    without_header,
)


class _Problems(Service):
    """A server that changes every problem."""

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
        said = " ".join(header_values(request, "authorization"))
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
        name="problem-is-plain-json",
        wrong="A problem has the media type of JSON.",
        breaks="law 16",
        found_by=(
            "request.body.no-object",
            "law-16.problems",
        ),
        make=ProblemIsPlainJson,
    ),
    VisibleBug(
        name="problem-without-code",
        wrong="A problem has no code, so clients parse its sentence.",
        breaks="law 13; law 16",
        seen="plaid/plaid-link-ios#25",
        found_by=(
            "graduation-handoff.unlinked",
            "law-16.problems",
        ),
        make=ProblemWithoutCode,
    ),
    VisibleBug(
        name="problem-without-details",
        wrong="A problem has no details.",
        breaks="law 13; law 16",
        found_by=(
            "graduation-handoff.unlinked",
            "law-16.problems",
        ),
        make=ProblemWithoutDetails,
    ),
    VisibleBug(
        name="problem-status-off",
        wrong="The status in a problem's body is not the response's.",
        breaks="law 16",
        found_by=(
            "request.credentials",
            "law-16.problems",
        ),
        make=ProblemStatusOff,
    ),
    VisibleBug(
        name="problem-always-retryable",
        wrong="Every problem says that a retry may help.",
        breaks="law 16; problems",
        found_by=(
            "request.body.no-object",
            "law-16.problems",
        ),
        make=ProblemAlwaysRetryable,
    ),
    VisibleBug(
        name="problem-type-blank",
        wrong="The type of every problem is about:blank.",
        breaks="section 7, type is a base and the code",
        found_by=("law-16.problems",),
        make=ProblemTypeBlank,
    ),
    VisibleBug(
        name="problem-with-a-trace",
        wrong="A problem shows where in the server it arose.",
        breaks="law 13",
        found_by=("request.body.no-object",),
        make=ProblemWithATrace,
    ),
    VisibleBug(
        name="unknown-has-an-instance",
        wrong="A 404 has an instance.",
        breaks="section 7, a 404 never has one",
        found_by=("request.route",),
        make=UnknownHasAnInstance,
    ),
    VisibleBug(
        name="no-challenge",
        wrong="A 401 has no WWW-Authenticate.",
        breaks="section 6, a 401 carries a challenge",
        found_by=("request.credentials",),
        make=NoChallenge,
    ),
    VisibleBug(
        name="key-in-the-problem",
        wrong="A 401 repeats the API key that was sent.",
        breaks="section 6, keys are in no problem",
        found_by=("law-13.nothing-internal",),
        make=KeyInTheProblem,
    ),
    VisibleBug(
        name="malformed-is-422",
        wrong="A malformed body is answered 422.",
        breaks="problem.bad-request",
        seen="frameworks' default; IETF idempotency draft #42 on the collision",
        found_by=("idempotency.not-kept.400",),
        make=MalformedIs422,
    ),
    VisibleBug(
        name="value-in-the-problem",
        wrong="A problem repeats what was sent.",
        breaks="law 13",
        found_by=("request.body.no-object",),
        make=ValueInTheProblem,
    ),
    VisibleBug(
        name="problem-in-html",
        wrong="A 404 is a page in HTML.",
        breaks="law 16",
        found_by=(
            "request.route",
            "law-16.problems",
        ),
        make=ProblemInHtml,
    ),
)
"""The seeded bugs about problems."""
