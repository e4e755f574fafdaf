"""What is kept, on Django's ORM: the same tables as in `sql_store`.

The law of this module: **a constraint of the database keeps each law** that two workers could
break together.

| constraint | keeps |
| --- | --- |
| `Connection.id` | one value per id (law 1) |
| `Connection.predecessor_id`, unique | one successor per connection (laws 6 and 7) |
| `Binding` by its coordinate | one user per coordinate (law 8) |
| `Record` by API key, its owner and key | one execution per key (laws 9 and 12) |
| `Rate` by owner and policy | ten initiates a minute (law 10) |

Values are kept as the JSON that `curae_lifecycle.dump` gives, beside the columns that are
searched for.
"""

# ruff: noqa: DJ008 - a row is found by its key, and nobody is shown one

from __future__ import annotations

from django.db import models


class Caller(models.Model):
    """Whom an API key stands for."""

    # The digest, never the key: whoever reads the database cannot call the API.
    digest: models.CharField[str, str] = models.CharField(max_length=64, primary_key=True)
    api_key_id: models.TextField[str, str] = models.TextField()
    app_id: models.TextField[str, str] = models.TextField()
    customer_account_id: models.CharField[str, str] = models.CharField(max_length=36)
    environment: models.CharField[str, str] = models.CharField(max_length=4)
    scopes: models.TextField[str, str] = models.TextField()

    class Meta:
        """Where it is kept."""

        db_table = "caller"


class Connection(models.Model):
    """A connection, its link to its predecessor, and its place in its chain."""

    id: models.CharField[str, str] = models.CharField(max_length=36, primary_key=True)
    # Null for the first of a chain: nulls are all different, and empty strings would collide.
    predecessor_id: models.CharField[str | None, str | None] = models.CharField(  # noqa: DJ001
        max_length=36, unique=True, null=True
    )
    root_id: models.CharField[str, str] = models.CharField(max_length=36)
    # Its place in the chain: the head is found by it, however long the chain is.
    position: models.IntegerField[int, int] = models.IntegerField()
    environment: models.CharField[str, str] = models.CharField(max_length=4)
    app_id: models.TextField[str, str] = models.TextField()
    customer_account_id: models.CharField[str, str] = models.CharField(max_length=36)
    app_user_id: models.TextField[str, str] = models.TextField()
    document: models.TextField[str, str] = models.TextField()

    class Meta:
        """Where it is kept, and how the head of a chain and the connections of a user are found."""

        db_table = "connection"
        constraints = (models.UniqueConstraint("root_id", "position", name="connection_chain"),)
        indexes = (models.Index("customer_account_id", "app_user_id", name="connection_user"),)


class ConnectSession(models.Model):
    """A connect session."""

    id: models.CharField[str, str] = models.CharField(max_length=36, primary_key=True)
    document: models.TextField[str, str] = models.TextField()

    class Meta:
        """Where it is kept."""

        db_table = "connect_session"


class Binding(models.Model):
    """The binding of a coordinate."""

    pk = models.CompositePrimaryKey("environment", "app_id", "customer_account_id", "app_user_id")
    environment: models.CharField[str, str] = models.CharField(max_length=4)
    app_id: models.TextField[str, str] = models.TextField()
    customer_account_id: models.CharField[str, str] = models.CharField(max_length=36)
    app_user_id: models.TextField[str, str] = models.TextField()
    document: models.TextField[str, str] = models.TextField()

    class Meta:
        """Where it is kept."""

        db_table = "binding"


class Record(models.Model):
    """An idempotency record."""

    pk = models.CompositePrimaryKey("owner", "key")
    owner: models.TextField[str, str] = models.TextField()
    key: models.CharField[str, str] = models.CharField(max_length=255)
    expires_at: models.BigIntegerField[int, int] = models.BigIntegerField(db_index=True)
    # An answer can hold the URL of a hosted page: encrypt this column, or keep a reference.
    document: models.TextField[str, str] = models.TextField()

    class Meta:
        """Where it is kept."""

        db_table = "record"


class Rate(models.Model):
    """The state of a rate limit."""

    pk = models.CompositePrimaryKey("owner", "policy")
    owner: models.TextField[str, str] = models.TextField()
    policy: models.TextField[str, str] = models.TextField()
    expires_at: models.BigIntegerField[int, int] = models.BigIntegerField(db_index=True)
    document: models.TextField[str, str] = models.TextField()

    class Meta:
        """Where it is kept."""

        db_table = "rate"


class Outbox(models.Model):
    """What a worker does and publishes once the transaction is over."""

    number: models.AutoField[int, int] = models.AutoField(primary_key=True)
    kind: models.TextField[str, str] = models.TextField()
    document: models.TextField[str, str] = models.TextField()

    class Meta:
        """Where it is kept."""

        db_table = "outbox"


class Page(models.Model):
    """What a hosted page is about."""

    digest: models.CharField[str, str] = models.CharField(max_length=64, primary_key=True)
    subject: models.TextField[str, str] = models.TextField(unique=True)

    class Meta:
        """Where it is kept."""

        db_table = "page"
