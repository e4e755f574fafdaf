"""What the playground runs in the browser: the command `replay` itself, on a log that was pasted.

The law of this module: **what is shown is what the command prints**. Links are added beside it, from
the library's own tables.
"""

from __future__ import annotations

import argparse
import io
import json
from contextlib import redirect_stderr, redirect_stdout

from curae_lifecycle.cli import replay
from curae_lifecycle.rules.problems import ProblemCode, type_uri
from curae_lifecycle.service.rulebook import TABLES


def links() -> str:
    """Where the site describes each rule and each problem, by its name, as JSON."""
    rules = {
        row.rule: f"tables/{table.name}.html#{row.rule}"
        for table in TABLES.values()
        for row in table.rows
    }
    problems = {code: f"problems/{type_uri(code, '')}.html" for code in ProblemCode}
    return json.dumps(rules | problems)


def answer(file: str, check: bool) -> str:  # noqa: FBT001 - called from JavaScript by position
    """Run `replay` on a file.

    Args:
        file: Where the log is.
        check: Whether recorded responses are compared.

    Returns:
        As JSON: the exit status, the lines of standard output, and what standard error says.
    """
    # The whole command line imports three times as many modules, which a browser would have to load.
    command = argparse.ArgumentParser()
    replay.add_options(command)
    options = command.parse_args([file, *(["--check"] if check else [])])
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as said:
        status = options.run(command, options)
    lines = printed.getvalue().splitlines()
    return json.dumps({"status": status, "lines": lines, "said": said.getvalue()})
