"""Pictures of the tables: their rows as boxes and arrows.

The law of this package: **a picture shows all that its tables say, and nothing else**. Only the
positions of boxes and lines are written by hand; an arrow without a route is a straight line.
"""

from __future__ import annotations

from curae_lifecycle.service.rulebook import TABLES
from docs.generate.drawing import Picture
from docs.generate.pictures.connection import draw_connection
from docs.generate.pictures.entry_paths import draw_entry_paths
from docs.generate.pictures.key_record import draw_key_record
from docs.generate.pictures.moves import draw_moves
from docs.generate.pictures.recovery import draw_recovery
from docs.generate.pictures.request import draw_gates


def pictures() -> dict[str, Picture]:
    """Return every picture by the table whose page shows it."""
    drawn = (
        draw_connection(),
        draw_recovery(),
        draw_entry_paths(),
        draw_key_record(),
        draw_gates(),
    )
    found = {picture.name: picture for picture in drawn}
    for table in TABLES.values():
        if table.state is not None and table.name not in found:
            found[table.name] = draw_moves(table)
    return found
