"""Values that the model adopts from a recorded response, or numbers itself."""

from __future__ import annotations

from datetime import datetime

from tests.proof.reference.facts import Platform
from tests.proof.reference.values import (
    HANDOFF_LIFE,
    Members,
    format_time,
    is_text,
    later,
    parse_json,
    parse_time,
    parse_uuid,
)


class Recorded(Platform):
    """Fresh ids, urls and ends of next actions."""

    def __init__(self) -> None:
        super().__init__()
        self.numbered = 0

    def _recorded(self, recorded: object, first: str, second: str) -> object:
        """Return a member of a member of the recorded body, which may also be its exact text."""
        found = dict(recorded.pairs).get("body") if isinstance(recorded, Members) else None
        if isinstance(found, str):
            try:
                found = parse_json(found)
            except (ValueError, RecursionError):
                return None
        for name in [first, second]:
            found = dict(found.pairs).get(name) if isinstance(found, Members) else None
        return found

    def _fresh_id(self, recorded: object, kind: str) -> str:
        # Reading: connections and sessions share one space of ids; an invalid or used id is
        # skipped.
        used = [*self.connections, *self.sessions]
        adopted = parse_uuid(self._recorded(recorded, kind, "id"))
        if adopted is not None and adopted not in used:
            return adopted
        while True:
            self.numbered += 1
            numbered = f"00000000-0000-4000-8000-{self.numbered:012}"
            if numbered not in used:
                return numbered

    def _next_action(self, now: datetime, recorded: object) -> tuple[dict[str, object], datetime]:
        url = self._recorded(recorded, "nextAction", "url")
        if not is_text(url):
            self.numbered += 1
            url = f"https://connect.example/{self.numbered}"
        end = parse_time(self._recorded(recorded, "nextAction", "expiresAt"))
        # Reading: an end that is not after the request's own time is not adopted.
        if end is None or end <= now:
            end = later(now, HANDOFF_LIFE)
        return {"type": "open_webview", "url": url, "expiresAt": format_time(end)}, end
