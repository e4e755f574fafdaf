"""The settings of the project of `django_app.py`."""

from __future__ import annotations

import os
from typing import Final

from settings import DATABASE_URL

from curae_lifecycle.stores.django.settings import database_settings

# Nothing is signed with it here; your project has its own.
SECRET_KEY: Final = os.environ.get("SECRET_KEY", "not-a-secret")
# Nothing here depends on the `Host` header.
ALLOWED_HOSTS: Final = ["*"]
DATABASES: Final = {"default": database_settings(DATABASE_URL)}
INSTALLED_APPS: Final = ["curae_lifecycle.stores.django"]
# Every new Django project has this one, among others.
MIDDLEWARE: Final = ["django.middleware.csrf.CsrfViewMiddleware"]
ROOT_URLCONF: Final = "django_app"
USE_TZ: Final = True
LOGGING: Final = {
    "version": 1,
    # True would silence all loggers that exist by now.
    "disable_existing_loggers": False,
    # It logs the path of each refused request, and the path of a hosted page is a secret.
    "loggers": {"django.request": {"level": "CRITICAL"}},
}
