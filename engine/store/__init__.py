"""The SQLite store: schema, the one writer, readers, quarantine, import and export."""
