"""The run history: an SQLite database and the lock file beside it. All SQL is in here."""
