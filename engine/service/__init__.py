"""The boundary between the engine and its viewers: messages, server, client, life cycle."""
