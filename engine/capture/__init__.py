"""From stream events to market state and stored candles, and the repair of what is missing."""
