"""The API as an OpenAPI 3.1 document, for clients, gateways and fuzzers."""

from curae_lifecycle.web.openapi.document import openapi, problem_codes

__all__ = ["openapi", "problem_codes"]
