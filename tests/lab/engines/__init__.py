"""Engines that span machines, each on three hosts of a network of this machine's own.

    python -m tests.lab.engines.ENGINE

starts everything, lets enemies work against it, judges what was seen, and ends everything. It needs
Linux, root, and Debian's packages, which it installs where they are missing.
"""
