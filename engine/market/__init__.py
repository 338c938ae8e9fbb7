"""The field's words as pure values: intervals, candles, trades, tickers, the order book."""
