from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from textual.app import App

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.geometry import Region
    from textual.widget import Widget


class OneWidget(App[None]):
    """An app that shows one widget and keeps the messages that it sends."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self):
        yield self.widget


@pytest.fixture
def one_widget() -> type[OneWidget]:
    return OneWidget


@pytest.fixture
def texts() -> Callable[[Any], list[str]]:
    """Read what a Line-API widget shows, row by row, without trailing blanks."""

    def read(widget: Any) -> list[str]:
        return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]

    return read


@pytest.fixture
def regions_of() -> Callable[[Widget], list[Region | None]]:
    """Record the regions that a widget asks to repaint from now on; None is the whole widget."""

    def record(widget: Widget) -> list[Region | None]:
        seen: list[Region | None] = []
        original = widget.refresh

        def refresh(*regions: Region, **options: Any) -> Any:
            seen.extend(regions or [None])
            return original(*regions, **options)

        widget.refresh = refresh  # type: ignore[method-assign]
        return seen

    return record
