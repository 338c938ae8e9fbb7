"""Times in which Binance spot as a whole was down, so that no market has candles.

Source: issues 365 and 368 of github.com/binance/binance-public-data. The list is not whole.
"""

from __future__ import annotations

_TEXT = """
2017-09-06 16:00  2017-09-06 23:00
2017-12-04 06:00  2017-12-04 06:50
2017-12-18 10:00  2017-12-18 10:15
2017-12-18 12:29  2017-12-18 13:35
2018-01-04 03:00  2018-01-04 05:07
2018-02-08 00:28  2018-02-09 10:01
2018-02-10 05:59  2018-02-10 06:15
2018-02-11 04:00  2018-02-11 04:35
2018-06-26 01:59  2018-06-26 12:00
2018-06-27 12:59  2018-06-27 14:45
2018-07-04 00:22  2018-07-04 08:00
2018-10-19 05:59  2018-10-19 09:30
2018-11-14 01:59  2018-11-14 09:00
2019-03-12 01:59  2019-03-12 08:00
2019-05-15 02:59  2019-05-15 13:00
2019-06-07 21:13  2019-06-07 22:15
2020-02-09 02:00  2020-02-09 03:00
2020-02-19 11:35  2020-02-19 17:30
2020-03-04 09:21  2020-03-04 11:30
2020-04-25 02:00  2020-04-25 04:30
2020-06-28 02:00  2020-06-28 05:30
2020-12-21 13:47  2020-12-21 18:00
2020-12-25 02:00  2020-12-25 03:00
2021-02-11 03:40  2021-02-11 05:00
2021-03-06 02:00  2021-03-06 03:30
2021-04-20 02:00  2021-04-20 04:30
2021-04-25 04:00  2021-04-25 08:45
"""


def known_outages() -> list[tuple[int, int]]:
    """Return [from_ms, to_ms) of each outage (epoch ms, UTC), in whole minutes, ascending.

    A market may have candles of some of these minutes; that it has none of the others is known.
    """
    from engine.market.times import time_ms

    lines = (line.split("  ") for line in _TEXT.strip().splitlines())
    return [(time_ms(start), time_ms(end)) for start, end in lines]
