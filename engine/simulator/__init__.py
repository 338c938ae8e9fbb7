"""The simulated exchange: Binance's protocol on loopback over generated or recorded data."""
