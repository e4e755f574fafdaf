"""The Django app for INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig


class CuraeLifecycleConfig(AppConfig):
    """The Django app, with the migration of the tables and the system checks."""

    name = "curae_lifecycle.stores.django"
    label = "curae_lifecycle"
    verbose_name = "Connections, sessions and consent"

    def ready(self) -> None:
        """Register the system checks; Django calls this method once all apps are loaded."""
        from curae_lifecycle.stores.django import checks  # noqa: PLC0415 - needs the settings

        checks.register_checks()
