"""The migration that creates the tables of `stores.sql.schema`."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from curae_lifecycle.stores.django.database import DjangoDatabase, is_database_of_app
from curae_lifecycle.stores.sql.schema import create_table_statements, drop_table_statements


def create(_: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Create missing tables and indexes in the migrated database.

    Nothing is created if the setting `CURAE_LIFECYCLE_DATABASE` names another database.
    """
    alias = editor.connection.alias
    if is_database_of_app(alias):
        database = DjangoDatabase(alias)
        database.run_ddl(create_table_statements(database.dialect))


def drop(_: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Drop all tables with their rows from the migrated database.

    Nothing is dropped if the setting `CURAE_LIFECYCLE_DATABASE` names another database.
    """
    alias = editor.connection.alias
    if is_database_of_app(alias):
        database = DjangoDatabase(alias)
        database.run_ddl(drop_table_statements(database.dialect))


class Migration(migrations.Migration):
    """The migration that creates the tables."""

    initial = True
    dependencies = ()
    operations = (migrations.RunPython(create, drop),)
