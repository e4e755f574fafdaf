"""Write the missing files of the newest formats."""

from __future__ import annotations

import json
import sys

from curae_lifecycle.stores.codec import dump
from curae_lifecycle.stores.formats import newest_format
from tests.stores.formats import FOLDER, VALUES

stale = []
for kind, held in VALUES.items():
    file = FOLDER / f"{kind}.{newest_format(kind)}.json"
    text = json.dumps([dump(value) for value in held], indent=1, ensure_ascii=False) + "\n"
    if not file.exists():
        file.write_text(text, encoding="utf-8")
    elif file.read_text(encoding="utf-8") != text:
        stale.append(file.name)
if stale:
    sys.exit(f"written by a release, so never changed: {', '.join(stale)}; give the form a number")
