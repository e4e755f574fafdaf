"""Read facts about the project for the CI from the project's own files.

- `project.py command 1|2`: the README's first or second command, exactly as written
- `project.py versions`: the Python versions that the classifiers advertise, the oldest first
- `project.py lowest`: the runtime dependencies, pinned to their lower bounds; `extras/run_all.py` does
  the same for each extra
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def readme_commands(text: str) -> tuple[str, str]:
    """Return the two lines of the first fenced block, which must be the two commands."""
    block = re.search(r"^```([^\n]*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    if block is None:
        raise SystemExit("README.md has no fenced block")
    language, body = block[1].strip(), block[2]
    lines = tuple(line for line in body.splitlines() if line.strip())
    match lines:
        case (tour, test) if language == "sh":
            return tour, test
        case _:
            raise SystemExit(
                "README.md: the first fenced block must be `sh` and hold two commands; "
                f"it is {language!r} and holds {len(lines)} lines"
            )


def lowest(dependencies: list[str]) -> list[str]:
    """Pin every `name>=version` or `name[extra]>=version` to that very version."""
    pins: list[str] = []
    for dependency in dependencies:
        bound = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", dependency)
        if bound is None:
            raise SystemExit(f"pyproject.toml: {dependency!r} is not of the form name>=version")
        pins.append(f"{bound[1]}=={bound[2]}")
    return pins


def versions(classifiers: list[str]) -> list[str]:
    """Return the Python versions among the classifiers, such as 3.11."""
    found = (
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in classifiers
    )
    return sorted((each[1] for each in found if each), key=lambda name: int(name.split(".")[1]))


def main(arguments: list[str]) -> None:
    """Print the answer to one question."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    match arguments:
        case ["command", ("1" | "2") as number]:
            readme = (ROOT / "README.md").read_text(encoding="utf-8")
            print(readme_commands(readme)[int(number) - 1])
        case ["versions"]:
            print("\n".join(versions(pyproject["project"]["classifiers"])))
        case ["lowest"]:
            print("\n".join(lowest(pyproject["project"]["dependencies"])))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
