// Calls of the npm package "binance" against a simulated exchange; prints one JSON object.
// Run it with NODE_PATH on its modules: with_npm.cjs REST_URL STREAM_URL KEY SECRET

const { MainClient } = require("binance");
const WebSocket = require("ws");

const [restUrl, streamUrl, apiKey, apiSecret] = process.argv.slice(2);

async function codeOf(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return error.code;
  }
}

function firstMessages(streams) {
  return new Promise((resolve, reject) => {
    const names = [];
    const socket = new WebSocket(`${streamUrl}/stream?streams=${streams.join("/")}`);
    const timer = setTimeout(() => reject(new Error(`only ${names} within 30 s`)), 30000);
    socket.onmessage = (event) => {
      const { stream } = JSON.parse(event.data);
      if (!names.includes(stream)) names.push(stream);
      if (names.length === streams.length) {
        clearTimeout(timer);
        socket.close();
        resolve(names.sort());
      }
    };
    socket.onerror = () => reject(new Error("the socket failed"));
  });
}

async function main() {
  const options = { api_key: apiKey, api_secret: apiSecret, baseUrl: restUrl, disableTimeSync: true };
  const client = new MainClient(options);
  const stranger = new MainClient({ ...options, api_secret: "x" });
  const symbol = "BTCUSDT";
  const newest = (await client.getRecentTrades({ symbol, limit: 1 }))[0];
  const old = await client.getHistoricalTrades({ symbol, limit: 5, fromId: newest.id - 9000 });
  const told = {
    ping: await client.testConnectivity(),
    symbols: (await client.getExchangeInfo()).symbols.map((row) => row.symbol),
    depth: (await client.getOrderBook({ symbol, limit: 100 })).bids.length,
    candles: (await client.getKlines({ symbol, interval: "1w", limit: 1000 })).length,
    oldTrades: old.map((row) => row.id - newest.id),
    aggTrades: (await client.getAggregateTrades({ symbol, limit: 10 })).length,
    average: Number((await client.getAvgPrice({ symbol })).price) > 0,
    day: (await client.get24hrChangeStatistics({ symbol })).symbol,
    balances: (await client.getAccountInformation()).balances.map((row) => row.asset),
    coins: (await client.getBalances()).map((row) => row.coin),
    openOrders: await client.getOpenOrders({ symbol }),
    restrictions: (await client.getApiKeyPermissions()).enableReading,
    order: await codeOf(() =>
      client.submitNewOrder({ symbol, side: "BUY", type: "MARKET", quantity: 1 }),
    ),
    wrongSecret: await codeOf(() => stranger.getAccountInformation()),
    wrongSymbol: await codeOf(() => client.getAvgPrice({ symbol: "NOPE" })),
    streams: await firstMessages(["btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@kline_1m"]),
  };
  console.log(JSON.stringify(told));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
