"""The metadata table on disk: SQLite in WAL mode, one writer, migrations that only add."""
