"""The terminal: a client of the engine."""
