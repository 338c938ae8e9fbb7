"""A day with a fault every five minutes: 0 candles missing, 0 wrong, 0 extra.

Run as `python -m benchmarks.faulty_day [--seeds 1-10] [--jobs 5] [--hours 24] [--markets 5]`. Each
seed gets a simulated exchange that does a random fault in every five minutes of its time (24 hours
at 60 times the speed of time are 24 minutes), and a `klinetop serve` that captures all of its
markets, is looked at once a second, and is killed by SIGKILL a few times. When the day is over and
what it cost is repaired, each stored candle is compared with the exchange's own record. The exit
status is 1 unless nothing is missing, wrong or extra.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from benchmarks.faulty import Plan, Result, live_through

MOST_TOLD = 8


def parse_seeds(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, ...]:
    """Return the seeds of `1-10` or `1,4,7`."""
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            seeds += range(int(first), int(last or first) + 1)
    except ValueError:
        raise click.BadParameter(f"'{text}' names no seeds; write 1-10 or 1,4,7.") from None
    return tuple(seeds)


@click.command()
@click.option("--seeds", callback=parse_seeds, default="1-10", show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=5, show_default=True, help="At a time.")
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=24.0, show_default=True)
@click.option("--markets", type=click.IntRange(1), default=5, show_default=True)
@click.option("--speed", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True)
@click.option("--every", default="5m", show_default=True, help="Exchange time between faults.")
@click.option("--kills", type=click.IntRange(0), default=2, show_default=True, help="A seed.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Where data and logs stay."
)
def main(
    *,
    seeds: tuple[int, ...],
    jobs: int,
    hours: float,
    markets: int,
    speed: float,
    every: str,
    kills: int,
    keep: Path | None,
) -> None:
    """Live through faulty days and compare what is stored with the exchange's own record."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="klinetop-day-") as scratch:
        place = keep or Path(scratch)
        plans = [
            Plan(seed, place / f"seed{seed}", hours, markets, speed, every, kills) for seed in seeds
        ]
        print(
            f"{len(seeds)} x {hours:g} hours of {markets} markets at {speed:g}x, a fault every "
            f"{every}, {kills} kills; about "
            f"{hours * 60 / speed * -(-len(seeds) // jobs):.0f} minutes",
            flush=True,
        )
        results = asyncio.run(_live(plans, jobs))
    _sum_up(results, time.monotonic() - started)
    sys.exit(0 if all(result.is_perfect for result in results) else 1)


async def _live(plans: list[Plan], jobs: int) -> list[Result]:
    turn = asyncio.Semaphore(jobs)

    async def one(plan: Plan) -> Result:
        async with turn:
            result = await live_through(plan)
        _tell(result)
        return result

    return list(await asyncio.gather(*(one(plan) for plan in plans)))


def _tell(result: Result) -> None:
    sources = ", ".join(f"{name} {count:,}" for name, count in result.by_source.items() if count)
    gaps = ", ".join(f"{state} {count:,}" for state, count in result.gaps.items() if count)
    print(
        f"seed {result.seed:3}: {result.compared:,} candles compared: {len(result.missing)} "
        f"missing, {len(result.wrong)} wrong, {len(result.extra)} extra | {sources} | gaps: "
        f"{gaps or 'none'} | {sum(result.faults.values())} faults, {result.reconnects} reconnects, "
        f"{result.kills} kills, {result.bad} bad frames, {result.crossed} crossed books | repaired "
        f"after {result.repair_s:.0f} s, {result.rewritten} rewritten afterwards | "
        f"engine {100 * result.cpu_s / result.wall_s:.1f} % CPU, "
        f"RSS {result.rss_early_mb:.0f} -> {result.rss_most_mb:.0f} MB | exchange "
        f"{100 * result.exchange_cpu_s / result.wall_s:.1f} % CPU",
        flush=True,
    )
    for kind in ("missing", "wrong", "extra"):
        for text in getattr(result, kind)[:MOST_TOLD]:
            print(f"    {kind}: {text}")
    for text in result.problems[:MOST_TOLD]:
        print(f"    problem: {text}")


def _sum_up(results: list[Result], took_s: float) -> None:
    faults: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    gaps: Counter[str] = Counter()
    for result in results:
        faults.update(result.faults)
        sources.update(result.by_source)
        gaps.update(result.gaps)
    print(f"in all: {sum(result.compared for result in results):,} candles compared")
    print("  by source: " + ", ".join(f"{name} {count:,}" for name, count in sources.items()))
    print("  faults: " + ", ".join(f"{name} {count}" for name, count in faults.most_common()))
    print("  gaps: " + ", ".join(f"{state} {count:,}" for state, count in gaps.items()))
    wall_s = sum(result.wall_s for result in results)
    print(
        f"  reconnects {sum(result.reconnects for result in results)}, kills "
        f"{sum(result.kills for result in results)}, engine "
        f"{100 * sum(result.cpu_s for result in results) / wall_s:.1f} % CPU each, most RSS "
        f"{max(result.rss_most_mb for result in results):.0f} MB, {took_s / 60:.1f} minutes"
    )
    print(
        f"  {sum(len(result.missing) for result in results)} missing, "
        f"{sum(len(result.wrong) for result in results)} wrong, "
        f"{sum(len(result.extra) for result in results)} extra"
    )


if __name__ == "__main__":
    main()
