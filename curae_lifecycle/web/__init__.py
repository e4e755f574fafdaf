"""HTTP requests parsed into calls, decisions formatted as responses, and the API documents."""
