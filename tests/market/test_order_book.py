from hypothesis import given
from hypothesis import strategies as st

from engine.market.book import OrderBook

prices = st.integers(min_value=1, max_value=30).map(lambda tick: tick * 0.25 + 99_997)
quantities = st.sampled_from([0.0, 0.0, 0.001, 1.0, 7.5])
levels = st.lists(st.tuples(prices, quantities), max_size=8)


@given(levels, st.lists(st.tuples(levels, levels), max_size=12), st.integers(0, 40))
def test_the_book_equals_a_plain_dict(
    start: list[tuple[float, float]],
    updates: list[tuple[list[tuple[float, float]], list[tuple[float, float]]]],
    count: int,
) -> None:
    snapshot = dict(start)
    model: list[dict[float, float]] = [{p: q for p, q in snapshot.items() if q}, {}]
    book = OrderBook(5, snapshot.items())
    for number, (bids, asks) in enumerate(updates, 6):
        book.apply(number, bids, asks)
        for side, changes in zip(model, (bids, asks), strict=True):
            for price, quantity in changes:
                side.pop(price, None)
                if quantity:
                    side[price] = quantity
        assert book.last_update_id == number
    best_bids = sorted(model[0].items(), reverse=True)
    best_asks = sorted(model[1].items())
    assert book.bids() == best_bids
    assert book.asks() == best_asks
    assert book.bids(count) == best_bids[:count]
    assert book.asks(count) == best_asks[:count]
    assert book.best_bid == (best_bids[0][0] if best_bids else None)
    assert book.best_ask == (best_asks[0][0] if best_asks else None)
    assert len(book) == len(best_bids) + len(best_asks)
    crossed = bool(best_bids and best_asks) and best_bids[0][0] >= best_asks[0][0]
    assert book.is_crossed == crossed


def test_digit_boundaries_keep_numeric_order_in_a_deep_book() -> None:
    asks = [(99_400.0 + step, 1.0) for step in range(1_200)]  # crosses 99,999 -> 100,000
    book = OrderBook(1, [(9.99, 1.0), (10.0, 2.0)], asks)
    book.apply(2, [], [(99_401.0, 0.0), (123.0, 0.0)])
    assert book.best_ask == 99_400.0
    assert book.asks(2) == [(99_400.0, 1.0), (99_402.0, 1.0)]
    assert book.bids() == [(10.0, 2.0), (9.99, 1.0)]
    assert len(book) == 1_201
