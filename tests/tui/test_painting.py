"""The short way of painting gives what Textual's own way gives."""

from __future__ import annotations

import pytest
from textual.geometry import Region
from textual.widget import Widget

FULL = (160, 48)


def cells(strips):
    """Return each cell's character and style, row by row; of a blank the background shows."""
    return [
        [
            (char, segment.style.bgcolor if char == " " else segment.style)
            for segment in strip
            for char in segment.text
        ]
        for strip in strips
    ]


@pytest.mark.parametrize("name", ["desk", "pane-chart", "pane-book", "screen"])
async def test_lines_are_those_of_textual(desk, name):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await pilot.pause()
        widget = app.dashboard if name == "screen" else app.dashboard.query_one(f"#{name}")
        width, height = widget.size
        for crop in (Region(0, 0, width, height), Region(3, 1, width - 5, height - 2)):
            plain = Widget.render_lines(widget, crop)
            assert cells(widget.render_lines(crop)) == cells(plain)


async def test_a_faded_desk_is_left_to_textual(desk):
    app = desk.make_app(desk.FakeEngine())
    async with app.run_test(size=FULL) as pilot:
        await pilot.pause()
        pane = app.dashboard.desk.chart
        crop = Region(0, 0, *pane.size)
        before = cells(pane.render_lines(crop))
        app.dashboard.desk.styles.opacity = 0.5
        faded = cells(pane.render_lines(crop))
        assert faded != before
        assert faded == cells(Widget.render_lines(pane, crop))
