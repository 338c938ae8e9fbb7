"""Geometry: which layout for which size, and panes that tile the desk without overlap."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.geometry import Size

from tui.arrange import arrange, has_tabs, layout_kind, swap_in
from tui.pane_names import PANE_NAMES

BEHIND = frozenset({"trades", "storage"})


@pytest.mark.parametrize(
    ("width", "height", "kind"),
    [
        (160, 48, "full"),
        (140, 36, "full"),
        (139, 48, "medium"),
        (160, 35, "medium"),
        (120, 30, "medium"),
        (100, 24, "medium"),
        (99, 60, "single"),
        (80, 24, "single"),
        (200, 20, "single"),
        (60, 16, "single"),
        (59, 16, "too small"),
        (60, 15, "too small"),
    ],
)
def test_size_decides_the_layout(width, height, kind):
    assert layout_kind(Size(width, height)) == kind


@given(st.integers(60, 320), st.integers(16, 110), st.sampled_from(PANE_NAMES))
def test_panes_tile_the_desk(width, height, focused):
    kind = layout_kind(Size(width, height))
    desk = Size(width, height - 3)
    behind = swap_in(focused, BEHIND)
    plan = arrange(kind, desk, PANE_NAMES, focused, maximised=False, behind=behind)
    assert focused in plan.regions
    assert sum(region.area for region in plan.regions.values()) == desk.area
    for one, other in itertools.combinations(plan.regions.values(), 2):
        assert not one.overlaps(other)
    assert all(desk.region.contains_region(region) for region in plan.regions.values())
    if kind != "full":
        assert set(plan.regions) | set(plan.tabs) == set(PANE_NAMES)


def test_a_maximised_pane_has_the_desk_to_itself():
    plan = arrange("full", Size(160, 45), PANE_NAMES, "book", maximised=True, behind=frozenset())
    assert list(plan.regions) == ["book"]
    assert plan.tabs == PANE_NAMES
    assert has_tabs("full", maximised=True)


def test_focus_brings_the_pane_behind_to_the_front():
    behind = swap_in("storage", BEHIND)
    assert behind == {"trades", "forecast"}
    assert swap_in("chart", behind) == behind
    assert swap_in("forecast", behind) == BEHIND
