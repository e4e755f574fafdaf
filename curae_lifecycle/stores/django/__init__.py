"""The SQL store as an app of Django, on the connection that Django has."""
