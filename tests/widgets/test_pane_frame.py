import pytest
from textual.app import App

from tui.widgets.glyphs import ASCII, UNICODE
from tui.widgets.live_table import Column, LiveTable
from tui.widgets.palette import palettes
from tui.widgets.pane_frame import PaneFrame


class TwoPanes(App[None]):
    def __init__(self, glyphs) -> None:
        super().__init__()
        self.glyphs = glyphs

    def compose(self):
        for number, title in ((1, "tickers"), (2, "book [t] retrain")):
            table = LiveTable([Column("a", "a")], palettes(), self.glyphs, id=f"t{number}")
            yield PaneFrame(
                table,
                glyphs=self.glyphs,
                number=number,
                title=title,
                subtitle="sub",
                id=f"p{number}",
            )


def first_rows(app: App[None]) -> list[str]:
    return [
        "".join(segment.text for segment in strip).rstrip()
        for strip in app.screen._compositor.render_strips()
    ]


@pytest.mark.parametrize(
    ("glyphs", "focused", "blurred"),
    [
        (UNICODE, "┏━ 1 tickers ━", "┌─ 2 book [t] retrain ─"),
        (ASCII, "+- > 1 tickers -", "+- 2 book [t] retrain -"),
    ],
)
async def test_the_focused_pane_differs_by_its_line_or_title(glyphs, focused, blurred) -> None:
    app = TwoPanes(glyphs)
    async with app.run_test(size=(40, 10)) as pilot:
        app.query_one("#t1").focus()
        await pilot.pause()
        rows = first_rows(app)
        assert any(row.startswith(focused) for row in rows)
        assert any(row.startswith(blurred) for row in rows)
        await pilot.press("tab")
        await pilot.pause()
        rows = first_rows(app)
        assert not any(row.startswith(focused) for row in rows)
        assert glyphs is UNICODE or all("".join(rows).isascii() for _ in rows)


async def test_titles_are_plain_text_and_change() -> None:
    app = TwoPanes(UNICODE)
    async with app.run_test(size=(40, 10)) as pilot:
        frame = app.query_one("#p2", PaneFrame)
        frame.title, frame.subtitle = "book [b]x[/b]", "synced [0.1 s]"
        await pilot.pause()
        page = "\n".join(first_rows(app))
        assert "2 book [b]x[/b]" in page
        assert "synced [0.1 s]" in page
