"""The API as an OpenAPI 3.1 document, for clients, gateways and fuzzers."""

from curae_lifecycle.web.openapi.document import openapi as openapi
from curae_lifecycle.web.openapi.document import problem_codes as problem_codes
