"""A viewer without a screen: pulls frames like a terminal, and notes how long each answer took."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import numpy as np

from engine.service.client import EngineClient, EngineGone, EngineProblem
from engine.service.contract import Done, StatusRequest, View
from engine.service.places import find_socket

PULL_EVERY_S = 0.25
STATUS_EVERY_S = 2.0


class Viewer(threading.Thread):
    """Looks at one market for as long as it runs, and connects again whenever the engine is back.

    Attributes:
        pulls_s: Seconds that each answer took.
        worst_lag_ms: The longest delay of the engine's event loop, as the engine says.
        progress: Rows, rows wanted, rows a second and seconds left, as the storage pane told them.
        notes: What it said beside that, each text once.
    """

    def __init__(self, directory: Path, symbol: str) -> None:
        super().__init__(daemon=True)
        self._directory = directory
        self._view = View(focused=symbol)
        self._ends = threading.Event()
        self.forget()

    def forget(self) -> None:
        """Begin the figures anew."""
        self.pulls_s: list[float] = []
        self.worst_lag_ms = 0.0
        self.progress: list[tuple[int, int, float, float | None]] = []
        self.notes: dict[str, None] = {}

    def run(self) -> None:
        """Look until `close`."""
        while not self._ends.is_set():
            try:
                asyncio.run(self._look())
            except (EngineGone, EngineProblem):
                time.sleep(0.1)

    def close(self) -> None:
        """End."""
        self._ends.set()
        self.join(10)

    def pull_ms(self) -> tuple[float, float, float]:
        """Return median, 95th percentile and maximum of the pulls."""
        p50, p95, most = np.percentile(self.pulls_s or [np.nan], (50, 95, 100)) * 1000
        return float(p50), float(p95), float(most)

    async def _look(self) -> None:
        client = await EngineClient.connect(find_socket(self._directory))
        try:
            revision, asked_s = 0, 0.0
            while not self._ends.is_set():
                began_s = time.perf_counter()
                frame = await client.pull(self._view, revision)
                self.pulls_s.append(time.perf_counter() - began_s)
                revision = frame.revision
                progress = frame.storage.progress if frame.storage is not None else None
                if progress is not None:
                    told = (progress.rows, progress.wanted, progress.rows_per_s, progress.eta_s)
                    self.progress.append(told)
                    self.notes[progress.note] = None
                if began_s - asked_s > STATUS_EVERY_S:
                    asked_s = began_s
                    answer = await client.ask(StatusRequest())
                    if isinstance(answer, Done):
                        lag_ms = float(answer.data["stream"]["loop_lag_ms"])
                        self.worst_lag_ms = max(self.worst_lag_ms, lag_ms)
                await asyncio.sleep(PULL_EVERY_S)
        finally:
            await client.close()
