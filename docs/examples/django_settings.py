"""The settings of the project of `django_app.py`."""

from __future__ import annotations

import os
from typing import Final

from settings import DATABASE_URL

from curae_lifecycle.stores.django.settings import database_settings

# Signs nothing here; a project of yours has its own.
SECRET_KEY: Final = os.environ.get("SECRET_KEY", "not-a-secret")
# Nothing here goes by the host that a client names.
ALLOWED_HOSTS: Final = ["*"]
DATABASES: Final = {"default": database_settings(DATABASE_URL)}
INSTALLED_APPS: Final = ["curae_lifecycle.stores.django"]
# As every new project has it.
MIDDLEWARE: Final = ["django.middleware.csrf.CsrfViewMiddleware"]
ROOT_URLCONF: Final = "django_app"
USE_TZ: Final = True
LOGGING: Final = {
    "version": 1,
    # Else whoever has a logger by now would say nothing any more.
    "disable_existing_loggers": False,
    # It would log the path of whatever is refused, and a hosted page's path is its secret.
    "loggers": {"django.request": {"level": "CRITICAL"}},
}
