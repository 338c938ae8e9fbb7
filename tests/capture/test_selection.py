"""Words such as all, USDT, BTC* or a symbol mean markets of the exchange."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.capture.selection import select_markets, unknown_sentence
from engine.market.symbol import SymbolInfo

BASES = ("BTC", "ETH", "币安人生", "USDC")
MARKETS = [
    SymbolInfo(base + quote, base, quote, status)
    for quote, status in (("USDT", "TRADING"), ("EUR", "BREAK"))
    for base in BASES
]
NAMES = tuple(info.name for info in MARKETS)


@pytest.mark.parametrize(
    ("wanted", "symbols"),
    [
        (["all"], NAMES),
        (["ALL"], NAMES),
        (["eur"], ("BTCEUR", "ETHEUR", "币安人生EUR", "USDCEUR")),
        (["EthEur", "BTCUSDT"], ("BTCUSDT", "ETHEUR")),
        (["btc*"], ("BTCUSDT", "BTCEUR")),
        (["币安*"], ("币安人生USDT", "币安人生EUR")),
        (["币安人生usdt"], ("币安人生USDT",)),
        (
            ["???eur", "USDT"],
            ("BTCUSDT", "ETHUSDT", "币安人生USDT", "USDCUSDT", "BTCEUR", "ETHEUR"),
        ),
        (["[be]*eur"], ("BTCEUR", "ETHEUR")),
        ([], ()),
    ],
)
def test_words_mean_markets_in_the_order_of_the_exchange(
    wanted: list[str], symbols: tuple[str, ...]
) -> None:
    assert select_markets(wanted, MARKETS) == (symbols, ())


def test_what_matches_nothing_is_told_beside_what_matches() -> None:
    selection = select_markets(["EUR", "DOGE*", "USDX", "BTC"], MARKETS)
    assert selection.unknown == ("DOGE*", "USDX", "BTC")
    assert len(selection.symbols) == 4


def test_a_symbol_is_itself_even_where_a_quote_asset_has_its_name() -> None:
    markets = [*MARKETS, SymbolInfo("USDT", "U", "SDT", "TRADING")]
    assert select_markets(["USDT"], markets).symbols == ("USDT",)


def test_the_sentence_names_what_is_near_and_is_short() -> None:
    assert "did you mean BTCUSDT?" in unknown_sentence(["BTCUSD"], MARKETS)
    assert "'XQJ'; write all" in unknown_sentence(["XQJ"], MARKETS)
    assert "'A0', 'A1', 'A2' or 6 more" in unknown_sentence([f"A{n}" for n in range(9)], MARKETS)


@given(st.lists(st.text(max_size=8), max_size=4))
def test_any_words_split_into_markets_and_unknown_ones(wanted: list[str]) -> None:
    symbols, unknown = select_markets(wanted, MARKETS)
    assert set(symbols) <= set(NAMES)
    assert set(unknown) <= set(wanted)
    assert bool(symbols) == (len(set(wanted)) > len(unknown))
