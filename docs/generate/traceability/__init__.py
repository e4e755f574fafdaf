"""The traceability page: each statement of the platform's reference with its rules, code and tests.

The law of this package: **the page has no orphans**. A fault is a statement without rule, code or
test; a rule whose source is the reference and that no statement names; a name that does not exist;
or an identifier of the reference in no row. `files` raises while there is a fault.
"""

from __future__ import annotations

from docs.generate.traceability.faults import find_faults
from docs.generate.traceability.page import to_markdown


def files() -> dict[str, str]:
    """Return the text of the page by its file name.

    Raises:
        SystemExit: The statements have faults.
    """
    faults = find_faults()
    if faults:
        raise SystemExit("\n".join(faults))
    return {"traceability.md": to_markdown()}
