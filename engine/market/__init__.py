"""The field's words as pure values: intervals, candles, trades, tickers, symbols, the order book."""
