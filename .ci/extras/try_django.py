"""The extra `django`: the app's migrations, and a store on Django's own connection."""

from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from serving import CALLER, CREATE, IDS, KEY, check

from curae_lifecycle import SqlStore
from curae_lifecycle.servers.endpoint import Endpoint

settings.configure(
    INSTALLED_APPS=["curae_lifecycle.stores.django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path("extra.db")}},
)
django.setup()

from curae_lifecycle.stores.django.database import DjangoDatabase  # noqa: E402 - needs the settings

call_command("migrate", verbosity=0)
store = SqlStore(DjangoDatabase())
store.register(KEY, CALLER)
endpoint = Endpoint(store, IDS)
check(endpoint(CREATE), endpoint(CREATE))
