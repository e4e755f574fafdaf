"""The app that a project puts into INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig


class CuraeLifecycleConfig(AppConfig):
    """The tables and the checks of `curae_lifecycle`."""

    name = "curae_lifecycle.stores.django"
    label = "curae_lifecycle"
    verbose_name = "Connections, sessions and consent"

    def ready(self) -> None:
        """Register the checks."""
        from curae_lifecycle.stores.django import checks  # noqa: PLC0415 - it needs the settings

        checks.register_checks()
