"""The tables, empty."""

# ruff: noqa: RUF012 - as Django writes its migrations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Make them."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Binding",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "environment",
                        "app_id",
                        "customer_account_id",
                        "app_user_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("environment", models.CharField(max_length=4)),
                ("app_id", models.TextField()),
                ("customer_account_id", models.CharField(max_length=36)),
                ("app_user_id", models.TextField()),
                ("document", models.TextField()),
            ],
            options={
                "db_table": "binding",
            },
        ),
        migrations.CreateModel(
            name="Caller",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("api_key_id", models.TextField()),
                ("app_id", models.TextField()),
                ("customer_account_id", models.CharField(max_length=36)),
                ("environment", models.CharField(max_length=4)),
                ("scopes", models.TextField()),
            ],
            options={
                "db_table": "caller",
            },
        ),
        migrations.CreateModel(
            name="Connection",
            fields=[
                ("id", models.CharField(max_length=36, primary_key=True, serialize=False)),
                ("predecessor_id", models.CharField(max_length=36, null=True, unique=True)),
                ("root_id", models.CharField(max_length=36)),
                ("position", models.IntegerField()),
                ("environment", models.CharField(max_length=4)),
                ("app_id", models.TextField()),
                ("customer_account_id", models.CharField(max_length=36)),
                ("app_user_id", models.TextField()),
                ("document", models.TextField()),
            ],
            options={
                "db_table": "connection",
                "indexes": [
                    models.Index(
                        models.F("customer_account_id"),
                        models.F("app_user_id"),
                        name="connection_user",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        models.F("root_id"), models.F("position"), name="connection_chain"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ConnectSession",
            fields=[
                ("id", models.CharField(max_length=36, primary_key=True, serialize=False)),
                ("document", models.TextField()),
            ],
            options={
                "db_table": "connect_session",
            },
        ),
        migrations.CreateModel(
            name="Outbox",
            fields=[
                ("number", models.AutoField(primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("document", models.TextField()),
            ],
            options={
                "db_table": "outbox",
            },
        ),
        migrations.CreateModel(
            name="Page",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("subject", models.TextField(unique=True)),
            ],
            options={
                "db_table": "page",
            },
        ),
        migrations.CreateModel(
            name="Rate",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "owner",
                        "policy",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("owner", models.TextField()),
                ("policy", models.TextField()),
                ("expires_at", models.BigIntegerField(db_index=True)),
                ("document", models.TextField()),
            ],
            options={
                "db_table": "rate",
            },
        ),
        migrations.CreateModel(
            name="Record",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "owner",
                        "key",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("owner", models.TextField()),
                ("key", models.CharField(max_length=255)),
                ("expires_at", models.BigIntegerField(db_index=True)),
                ("document", models.TextField()),
            ],
            options={
                "db_table": "record",
            },
        ),
    ]
