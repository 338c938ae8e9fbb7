"""Features, the LSTM and its baselines, the trainer, the registry, the ledger, the live scorer."""
