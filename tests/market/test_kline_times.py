from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.kline_errors import UnreadableKlineFile
from engine.market.kline_times import (
    EitherOrder,
    TimeForm,
    check_pattern,
    kind_of,
    open_time_ms,
    parse_zone,
)

DAY_MS = 1_609_459_200_000  # 2021-01-01
PLAIN = TimeForm()


@pytest.mark.parametrize(
    "text",
    [
        "1609459200",
        "1609459200000",
        "1609459200000000",
        "1609459200000000000",
        "1609459200.0",
        "1609459200000.000",
        "1.609459200000e12",
        "1.609459200000000E+15",
        " 2021-01-01 ",
        "20210101",
        "202101010000",
        "20210101000000",
        "20210101T000000Z",
        "2021/1/1",
        "2021.01.01 0:00",
        "2021-01-01 00:00:00.000000",
        "2021-01-01T00:00:00.000000000",
        "2021-01-01 12:00 AM",
        "2021-01-01 12-AM",
        "2020-12-31T22:00:00-0200",
        "2021-01-01 08:00:00+08",
        "2021-01-01 01:00 GMT+01:00",
        "2021-01-01 00:00:00.000 +0000 UTC",
        "2021年1月1日 00:00",
        "Fri Jan  1 00:00:00 2021",
        "Fri Jan  1 00:00:00 UTC 2021",
        "1 January 2021",
        "01-JAN-2021 00:00",
        "Jan 1, 2021, 12:00:00 a.m.",
        "Fri, 01 Jan 2021 00:00:00 GMT",
        "Fri Jan 01 2021 00:00:00 GMT+0000 (Coordinated Universal Time)",
    ],
)
def test_one_time_in_many_words(text: str) -> None:
    assert open_time_ms(text, PLAIN) == DAY_MS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("yesterday", "no time: 'yesterday'"),
        ("2021-02-30", "no time that there is"),
        ("2021-01-01 24:00", "no time that there is"),
        ("2021-01-01 13:00 PM", "no time"),
        ("1.60946E+12", "lost its last 7 digits to scientific notation"),
        ("1.6094592000001e12", "no time"),
        ("1609459200000001", "no whole millisecond"),
        ("1609459200.1234", "no whole millisecond"),
        ("2021-01-01 00:00:00.0001", "no whole millisecond"),
        ("44197.5", "spreadsheet's day number"),
        ("44197", "spreadsheet's day number"),
        ("173300760", "neither seconds, milliseconds"),
        ("9" * 40, "neither seconds, milliseconds"),
        ("\uff12\uff10\uff12\uff11-01-01", "no time"),
    ],
)
def test_what_is_no_time_is_told_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        open_time_ms(text, PLAIN)


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("01/02/2021", "%d/%m/%Y", "%m/%d/%Y"),
        ("31/12/2021 23:59", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"),
        ("1.2.21 3:04:05", "%d.%m.%y %H:%M:%S", "%m.%d.%y %H:%M:%S"),
        ("1-2-2021 3:04 PM", "%d-%m-%Y %I:%M %p", "%m-%d-%Y %I:%M %p"),
        ("01.02.2021 00:00:00.000", "%d.%m.%Y %H:%M:%S.%f", "%m.%d.%Y %H:%M:%S.%f"),
    ],
)
def test_day_first_or_month_first_is_never_guessed(text: str, first: str, second: str) -> None:
    with pytest.raises(EitherOrder) as caught:
        open_time_ms(text, PLAIN)
    assert f"--date-format '{first}' or --date-format '{second}'" in str(caught.value)
    check_pattern(first)
    assert open_time_ms(text, TimeForm(pattern=first)) > 0


def test_a_pattern_and_a_zone_are_obeyed() -> None:
    berlin = parse_zone("Europe/Berlin")
    form = TimeForm(berlin, "%d/%m/%Y %H:%M")
    assert open_time_ms("01/01/2021 01:00", form) == DAY_MS
    with pytest.raises(ValueError, match="does not fit --date-format"):
        open_time_ms("2021-01-01", form)
    assert open_time_ms("2021-01-01 08:00", TimeForm(parse_zone("+08:00"))) == DAY_MS
    assert open_time_ms("2021-01-01T00:00Z", TimeForm(berlin)) == DAY_MS
    for text, words in (("2021-03-28 02:30", "not exist"), ("2021-10-31 02:30", "exists twice")):
        with pytest.raises(ValueError, match=words):
            open_time_ms(text, TimeForm(berlin))


def test_a_zone_and_a_pattern_that_can_not_be_are_refused() -> None:
    for zone in ("Nowhere/City", "", "../etc/passwd", "+99:00"):
        with pytest.raises(UnreadableKlineFile, match="no time zone"):
            parse_zone(zone)
    for pattern in ("%H:%M", "%d", "x", "%"):
        with pytest.raises(UnreadableKlineFile, match="no day can be told"):
            check_pattern(pattern)


@pytest.mark.parametrize(
    ("text", "unit", "zone"),
    [
        ("1609459200", "seconds", "UTC"),
        ("1609459200000.0", "milliseconds", "UTC"),
        ("1609459200000000", "microseconds", "UTC"),
        ("1609459200000000000", "nanoseconds", "UTC"),
        ("20210101", "text", "UTC"),
        ("2021-01-01 00:00", "text", "UTC"),
        ("2021-01-01 00:00+01:00", "text", ""),
    ],
)
def test_the_kind_of_a_time(text: str, unit: str, zone: str) -> None:
    assert kind_of(text, PLAIN) == (unit, zone)


@given(st.datetimes(datetime(2001, 9, 10), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_iso_text_is_what_the_standard_library_takes_it_for(moment: datetime) -> None:
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    expected = round(whole.timestamp() * 1000)
    for text in (whole.isoformat(), whole.isoformat(" "), whole.replace(tzinfo=None).isoformat()):
        assert open_time_ms(text, PLAIN) == expected


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_refused_in_words(text: str) -> None:
    words = ""
    try:
        assert isinstance(open_time_ms(text, PLAIN), int)
    except ValueError as error:
        words = str(error).lower() or "nothing is said"
    assert not words or "time" in words
