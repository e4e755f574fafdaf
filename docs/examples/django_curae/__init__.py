"""The API as an application of Django: models with their migrations, a store, a view."""
