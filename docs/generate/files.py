"""Files that a generator owns: write them, or find those that are stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs


@attrs.frozen
class Files:
    """The files of one generator.

    Attributes:
        folder: Their folder, relative to the repository.
        patterns: Patterns of the file names in the folder that the generator owns.
        build: Returns the text of each file by its name.
    """

    folder: str
    patterns: tuple[str, ...]
    build: Callable[[], dict[str, str]]

    def write(self, root: Path) -> None:
        """Write the files of the generator, and delete its former files.

        Args:
            root: The folder of the repository.
        """
        wanted = self.build()
        directory = root / self.folder
        directory.mkdir(parents=True, exist_ok=True)
        for path in self._owned(root):
            if path.name not in wanted:
                path.unlink()
        for name, text in wanted.items():
            (directory / name).write_text(text, encoding="utf-8", newline="\n")

    def stale(self, root: Path) -> list[str]:
        """Return the paths of the files that are missing, outdated or former.

        Args:
            root: The folder of the repository.
        """
        wanted = self.build()
        found = {path.name: path.read_bytes() for path in self._owned(root)}
        return sorted(
            (Path(self.folder) / name).as_posix()
            for name in wanted.keys() | found.keys()
            if name not in wanted or wanted[name].encode() != found.get(name)
        )

    def _owned(self, root: Path) -> list[Path]:
        return [path for each in self.patterns for path in (root / self.folder).glob(each)]
