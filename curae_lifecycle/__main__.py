"""Entry point of `python -m curae_lifecycle`."""

import sys

from curae_lifecycle.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
