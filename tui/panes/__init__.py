"""Panes: each turns a part of a frame into widget calls."""
