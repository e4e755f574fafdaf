"""The program of the playground: it runs the command `replay` in the browser, on a pasted log.

The law of this module: **the playground shows exactly what the command prints**. It only adds links,
from the library's own tables.
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
    """Return the URLs of the site's pages on each rule and each problem, by name, as JSON."""
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
        file: The path of the log.
        check: Whether recorded responses are compared.

    Returns:
        As JSON: the exit status, the lines of standard output, and the text of standard error.
    """
    # The whole command line would import three times as many modules into the browser.
    command = argparse.ArgumentParser()
    replay.add_options(command)
    options = command.parse_args([file, *(["--check"] if check else [])])
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as said:
        status = options.run(command, options)
    lines = printed.getvalue().splitlines()
    return json.dumps({"status": status, "lines": lines, "said": said.getvalue()})
