import pytest

from tui.widgets import loss_curve
from tui.widgets.glyphs import ASCII, UNICODE
from tui.widgets.loss_curve import LossCurve, loss_plot
from tui.widgets.palette import palettes

LOSS = [0.70, 0.69, 0.685, 0.68]
VAL_LOSS = [0.71, 0.70, 0.705, 0.702]


@pytest.mark.parametrize("is_ascii", [False, True])
@pytest.mark.parametrize(("width", "height"), [(40, 10), (120, 12), (16, 5)])
def test_a_plot_has_the_size_asked_for(width, height, is_ascii) -> None:
    rows = loss_plot(LOSS, VAL_LOSS, width, height, epochs=12, is_ascii=is_ascii)
    assert len(rows) == height
    assert {len(row) for row in rows} == {width}
    page = "".join(rows)
    assert page.isascii() == is_ascii
    assert ("." if is_ascii else "•") in page
    assert ("x" if is_ascii else "○") in page


def test_plots_do_not_add_up() -> None:
    first = loss_plot(LOSS, VAL_LOSS, 60, 12)
    loss_plot([5.0, 4.0], [], 60, 12)
    assert loss_plot(LOSS, VAL_LOSS, 60, 12) == first


async def test_it_builds_only_when_its_data_change(one_widget, texts, monkeypatch) -> None:
    built = []
    original = loss_curve.loss_plot
    monkeypatch.setattr(
        loss_curve, "loss_plot", lambda *args, **kw: built.append(1) or original(*args, **kw)
    )
    widget = LossCurve(palettes(), UNICODE)
    async with one_widget(widget).run_test(size=(50, 10)) as pilot:
        await pilot.pause()
        widget.show(LOSS, VAL_LOSS, epochs=12)
        widget.show(list(LOSS), list(VAL_LOSS), epochs=12)
        assert len(built) == 1
        widget.show([*LOSS, 0.679], VAL_LOSS, epochs=12)
        assert len(built) == 2
        assert texts(widget)[0] == "• loss 0.6790  ○ val_loss 0.7020  best 0.7000 in e"


async def test_too_small_a_pane_shows_the_figures_only(one_widget, texts) -> None:
    widget = LossCurve(palettes("mono"), ASCII)
    async with one_widget(widget).run_test(size=(60, 3)):
        widget.show(LOSS, VAL_LOSS, epochs=12)
        assert texts(widget)[1:] == ["", ""]
        assert texts(widget)[0].isascii()
        widget.show([], [])
        assert texts(widget) == ["", "", ""]
