"""Times as people write them: every form, and what is refused for being none or two."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.times import UnknownTime, time_ms, time_text

NOW = datetime(2024, 12, 24, 15, 30, tzinfo=UTC)
MONTHS = "January February March April May June July August September October November December"


def read(value: object) -> str:
    return time_text(time_ms(value, now=NOW))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value", ["1735689660", "1735689660000", "1735689660000000", "1735689660000000000"]
)
def test_the_digits_of_an_epoch_time_tell_its_unit(value: str) -> None:
    assert read(value) == read(int(value)) == read(np.int64(value)) == "2025-01-01 00:01"


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("2021", "2021-01-01 00:00"),
        ("2021-02", "2021-02-01 00:00"),
        ("2021/2", "2021-02-01 00:00"),
        ("Dec 2020", "2020-12-01 00:00"),
        ("20210203", "2021-02-03 00:00"),
        ("2021-W03", "2021-01-18 00:00"),
        ("2021-2-3", "2021-02-03 00:00"),
        ("2021.02.03 9:30", "2021-02-03 09:30"),
        ("2021-02-03 14", "2021-02-03 14:00"),
        ("2021-02-03T14:30:05.123456789Z", "2021-02-03 14:30:05"),
        ("2021-02-03 14:30 +02:00", "2021-02-03 12:30"),
        ("2021-02-03 14:30 UTC", "2021-02-03 14:30"),
        ("2021-02-03 2pm", "2021-02-03 14:00"),
        ("2021-02-03 10:00 EST", "2021-02-03 15:00"),
        ("25/12/2021", "2021-12-25 00:00"),
        ("12/25/2021 06:00", "2021-12-25 06:00"),
        ("01.01.2021", "2021-01-01 00:00"),
        ("20 Dec, 2024 14:30", "2024-12-20 14:30"),
        ("December 20th, 2024 2pm", "2024-12-20 14:00"),
        (date(2021, 2, 3), "2021-02-03 00:00"),
        (datetime(2021, 2, 3, 4), "2021-02-03 04:00"),  # noqa: DTZ001
        (datetime(2021, 2, 3, 4, tzinfo=timezone(timedelta(hours=2))), "2021-02-03 02:00"),
        ("now", "2024-12-24 15:30"),
        ("14:30", "2024-12-24 14:30"),
        ("yesterday", "2024-12-23 15:30"),
        ("noon yesterday", "2024-12-23 12:00"),
        ("2 days ago", "2024-12-22 15:30"),
        ("1 year ago", "2023-12-24 15:30"),
        ("3h ago", "2024-12-24 12:30"),
    ],
)
def test_every_form_means_one_time(value: object, meant: str) -> None:
    assert read(value) == meant


def test_words_are_utc_whatever_the_machine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert read("22 May, 2021") == "2021-05-22 00:00"
        assert read("2 days ago") == "2024-12-22 15:30"
        assert abs(time_ms("2 days ago") - (time.time() - 172_800) * 1000) < 3_600_000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "value",
    [
        *("", "soonish", "-5", "1234", "202101", "17356896600000", 0, -1, 1_234, "2021-02-03-04"),
        *("2021-13", "2021-02-30", "20210230", "31/04/2021", "2021-W60", "30 Feb 2021", "31 Jun"),
        *("2021-02-03 25:00", "2021-02 10:00", "2021-13 UTC", "99999999999999999999", "10000-01"),
    ],
)
def test_what_is_no_time_is_refused_and_never_shifted(value: str | int) -> None:
    with pytest.raises(UnknownTime, match=r"is no time.*2024-12-20"):
        time_ms(value, now=NOW)


@pytest.mark.parametrize("value", ["01/02/2021", "2-1-2021", "1.2.2021 10:00"])
def test_what_may_be_two_days_is_refused_with_what_to_type(value: str) -> None:
    with pytest.raises(UnknownTime, match="may be two days; write 2021-01-02 or 2021-02-01"):
        time_ms(value)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 31), st.integers(1, 12), st.integers(2017, 2030))
def test_a_day_by_name_and_by_number_is_that_day_or_none(day: int, month: int, year: int) -> None:
    try:
        wanted = date(year, month, day)
    except ValueError:
        wanted = None
    name = MONTHS.split()[month - 1]
    for text in (f"{year}-{month}-{day}", f"{day} {name} {year}", f"{name[:3]} {day}, {year}"):
        if wanted is None:
            with pytest.raises(UnknownTime):
                time_ms(text)
        else:
            assert read(text) == f"{wanted} 00:00"


@settings(deadline=None)
@given(st.text(alphabet="0123456789-/.: TZ+", max_size=24))
def test_text_of_figures_is_read_or_refused_in_words(text: str) -> None:
    said = ""
    try:
        said = time_text(time_ms(text, now=NOW))
    except UnknownTime as error:
        said = str(error)
    assert re.match(r"\d{4}-|'.*' (is no time|may be two days)", said)


@pytest.mark.parametrize(
    "value",
    [
        *("1969-12-31 23:59", "2200-01-01", "9999-12-31 23:59:59.9999999"),
        *("0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", date.max, date.min),
    ],
)
def test_years_in_which_no_market_trades_are_no_times(value: str | date) -> None:
    with pytest.raises(UnknownTime, match="years run from 1970 to 2199"):
        time_ms(value)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)))  # noqa: DTZ001
def test_iso_text_means_its_moment(moment: datetime) -> None:
    exact = moment.replace(microsecond=0, tzinfo=UTC)
    assert time_ms(exact.isoformat()) == exact.timestamp() * 1000
