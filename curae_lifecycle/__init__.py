"""The lifecycle of patient-data connections, as pure functions and total tables."""

__version__ = "0.1.0"
