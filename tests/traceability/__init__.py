"""The platform's reference, statement by statement, and where each went: rule, code and test.

The law of this module: **no orphan stands on the page**. A statement without rule, code and test, a rule
whose source is the reference and to which no statement leads, a name that is not there, and an identifier
of the reference in no row are each a fault, and where there is a fault there is no page.
"""

from __future__ import annotations

from tests.traceability.page import PARTS, faults, page

__all__ = ["PARTS", "faults", "page"]
