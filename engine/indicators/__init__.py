"""Technical indicators over candles: thin covers of `ta`, and our own session VWAP."""
