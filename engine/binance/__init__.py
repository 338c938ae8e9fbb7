"""All that knows Binance's wire: payloads, REST, stream connections, depth synchronisation."""
