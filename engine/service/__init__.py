"""The boundary between the engine's process and its viewers: messages, server, client, life cycle."""
