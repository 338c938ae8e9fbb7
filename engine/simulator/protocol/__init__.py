"""What the simulated exchange says and checks as Binance's REST interface does."""
