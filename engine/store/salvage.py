"""Copies what is whole of a damaged database into a fresh one.

The file's pages are read one by one, not through SQLite, which gives up a table where one page of
its tree is damaged. Every row whose own page (and the pages that it flows over to) is whole is
found, whatever happened to others: by the tables' trees first, then page by page, recognised by the
pointer map or by what its records look like. Each page is read once or twice, so time grows with
the size of the file alone, and memory by a few bytes a page.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.market.interval import DAY_MS
from engine.store.btree_page import INDEX_LEAF, Page, looks_like_btree
from engine.store.database import DATABASE_NAME
from engine.store.errors import NoDatabase, StoreError
from engine.store.fresh_database import transaction, whole_or_none
from engine.store.losses import Holes
from engine.store.page_file import PageFile
from engine.store.page_map import PageMap
from engine.store.record_layout import layouts
from engine.store.symbols import add_counts
from engine.store.values import SOURCE_NAMES, Source

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from engine.store.btree_page import Cell
    from engine.store.losses import SeriesLoss, StretchLoss
    from engine.store.page_map import Visit
    from engine.store.record_layout import Layout

_CHUNK_ROWS = 5_000
_TOLD_EVERY_PAGES = 256
_NAMES_INDEX = "sqlite_autoindex_symbol_1"
_CANDLE, _META, _OUTCOME = "candle", "meta", "outcome"


class SalvageProgress(NamedTuple):
    """How far a salvage is.

    Attributes:
        pages: Read, of `all_pages`.
        rows: Saved so far.
        unreadable: Pages that were skipped because they are damaged.
    """

    pages: int
    all_pages: int
    rows: int
    unreadable: int


class Salvaged(NamedTuple):
    """What was saved, and what was not.

    Attributes:
        candles: In the fresh database; `other_rows` likewise, of all other tables.
        pages: Of the damaged file.
        cut_off: Pages that it should have behind its end.
        unreadable: How many of them are damaged, by table; "" for those of no table that is known.
        refused: Rows that could be read and break a rule of their table.
        series: Candles that are lost, by series.
        stretches: Lost ends of series, and whole series.
        unnamed: Names that were made up for symbols whose own are lost.
        is_source_known: Whether the file still says where its data is from.
    """

    candles: int
    other_rows: int
    pages: int
    cut_off: int
    unreadable: dict[str, int]
    refused: int
    series: tuple[SeriesLoss, ...]
    stretches: tuple[StretchLoss, ...]
    unnamed: tuple[str, ...]
    is_source_known: bool

    @property
    def is_complete(self) -> bool:
        """Whether nothing is lost."""
        losses = (self.cut_off, self.unreadable, self.refused, self.series, self.stretches)
        return self.is_source_known and not any(losses) and not self.unnamed


def salvage(
    directory: Path,
    target: Path,
    progress: Callable[[SalvageProgress], None] | None = None,
    source: tuple[str, str] = ("live", ""),
) -> Salvaged:
    """Copy what is whole of the damaged database in `directory` into the directory `target`.

    The damaged file and its log are only read. No engine may run on either.

    Args:
        directory: The data directory with the damaged database.
        target: A directory without a database; made when it is not there.
        progress: Called every few hundred pages.
        source: Kind and note of the source, for a file that does not say its own any more.

    Raises:
        StoreError: when nothing in the file looks like a database, or `target` has one.
        WriteRefused: when the disk of `target` fails; it holds no database then.
    """
    path = directory / DATABASE_NAME
    if not path.is_file():
        raise NoDatabase(f"There is no klinetop database in {directory}.")
    if (target / DATABASE_NAME).exists():
        raise StoreError(f"{target} holds a database already; name another directory.")
    with PageFile(path) as file:
        pages = range(1, file.count + 1)
        if not any(looks_like_btree(file.page(n), file.usable, 100 * (n == 1)) for n in pages):
            raise StoreError(
                f"Nothing can be read of {path}, no page of it is a database's: put a backup in "
                "its place, or start anew; what the exchange still has is fetched again."
            )
        with _Rescue(file, progress) as rescue:
            stamp = rescue.stamp()
            kind, note = (stamp["source"], stamp.get("source_note", "")) if stamp else source
            with whole_or_none(target, kind, note) as fresh:
                return rescue.run(fresh, is_source_known=bool(stamp))


class _Rescue:
    def __init__(self, file: PageFile, progress: Callable[[SalvageProgress], None] | None) -> None:
        self._file = file
        self._map = PageMap(file)
        known = layouts()
        self._layouts = {
            name: layout for name, layout in known.items() if layout.is_copied and name != _META
        }
        self._others = [layout for layout in known.values() if not layout.is_copied]
        self._progress = progress
        self._fresh: sqlite3.Connection
        self._rows: dict[tuple[str, int], list[tuple[Any, ...]]] = {}
        self._read: Counter[str] = Counter()
        self._added: Counter[str] = Counter()
        self._unreadable: Counter[str] = Counter()
        self._damaged = bytearray(file.count + 1)
        self._holes = Holes()
        self._names: dict[int, str] = {}
        self._done = 0
        self._latest_ms = time.time_ns() // 1_000_000 + DAY_MS

    def __enter__(self) -> _Rescue:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.clear()

    def stamp(self) -> dict[str, str]:
        """Return what the file says about its source; empty when that is lost."""
        stamp: dict[str, str] = {}
        root = self._map.roots.get(_META)
        for visit in self._map.walk(root) if root is not None else ():
            if self._count_damage(_META, visit):
                self._map.seen[visit.number] = 1
                stamp |= _texts(visit.page)
        if "source" in stamp:
            return stamp
        for number in range(1, self._file.count + 1):
            data = self._file.page(number)
            if not self._map.seen[number] and data and data[0] == INDEX_LEAF:
                found = _texts(self._map.pages.page(number))
                if "source" in found:
                    self._map.seen[number] = 1
                    return found
        return {}

    def run(self, fresh: sqlite3.Connection, *, is_source_known: bool) -> Salvaged:
        self._fresh = fresh
        fresh.execute("PRAGMA foreign_keys = OFF")
        fresh.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {_OUTCOME} WHERE 0")  # noqa: S608
        for layout in self._layouts.values():
            self._table(layout)
        self._read_names()
        refused = sum((self._read - self._added).values())
        self._strays()
        self._flush()
        with transaction(fresh):
            self._keep_outcomes()
            unnamed = self._name_symbols()
            candles = self._recount()
        fresh.execute("PRAGMA foreign_keys = ON")
        self._tell(self._file.count)
        names = {int(i): str(name) for i, name in fresh.execute("SELECT id, name FROM symbol")}
        series, stretches = self._holes.losses(fresh, names)
        return Salvaged(
            candles=candles,
            other_rows=self._count_others(),
            pages=self._file.count,
            cut_off=self._file.cut_off,
            unreadable=dict(sorted(self._unreadable.items())),
            refused=refused,
            series=series,
            stretches=stretches,
            unnamed=unnamed,
            is_source_known=is_source_known,
        )

    # --- pages ----------------------------------------------------------------------------------

    def _table(self, layout: Layout) -> None:
        root = self._map.roots.get(layout.table)
        if root is None:
            if layout.table == _CANDLE:
                self._holes.add(None, None, is_leaf=False)
            return
        for visit in self._map.walk(root):
            if not self._count_damage(layout.table, visit):
                continue
            assert visit.page is not None
            if self._take(layout, visit.page, visit):
                self._map.seen[visit.number] = 1
            self._step()
        self._flush()

    def _count_damage(self, table: str, visit: Visit) -> bool:
        """Note what can not be read of a page; tells whether anything can."""
        is_readable = visit.page is not None
        if not (visit.page is not None and visit.page.is_whole):
            self._note_damaged(table, visit.number)
        if table == _CANDLE and not is_readable:
            is_behind_the_end = visit.number > self._file.count
            is_leaf = visit.is_leaf is True or is_behind_the_end
            self._holes.add(visit.low, visit.high, is_leaf=is_leaf)
        return is_readable

    def _note_damaged(self, table: str, number: int) -> None:
        is_page = 1 <= number <= self._file.count
        if is_page and not self._damaged[number]:
            self._damaged[number] = 1
            self._unreadable[table] += 1

    def _take(self, layout: Layout, page: Page, visit: Visit | None) -> bool:
        """Keep the rows of a page; tells whether it is of this table."""
        if layout.has_rowid and page.right is not None:
            return True
        rows = [
            cell if cell is not None and self._is_row(layout, cell) else None for cell in page.cells
        ]
        if page.cells and not any(rows):
            if visit is not None and layout.table == _CANDLE:
                self._holes.add(visit.low, visit.high, is_leaf=visit.is_leaf is True)
            return not any(page.cells)
        _drop_disordered(layout, rows)
        if layout.table == _CANDLE and not all(rows):
            self._note_holes(rows, page, visit)
        for cell in rows:
            if cell is not None:
                self._keep(layout, layout.row(cell))
        return True

    def _is_row(self, layout: Layout, cell: Cell) -> bool:
        return layout.fits(cell.kinds) and layout.is_written_by(cell.values, self._latest_ms)

    def _note_holes(self, rows: list[Cell | None], page: Page, visit: Visit | None) -> None:
        """Note the stretches of broken cells of a page, between the whole ones around them."""
        before = visit.low if visit is not None else None
        is_known = visit is not None
        after_last = visit.high if visit is not None else None
        is_leaf = page.right is None
        is_open = False
        for cell in rows:
            if cell is None:
                is_open = True
                continue
            if is_open and is_known:
                self._holes.add(before, cell.values, is_leaf=is_leaf)
            before, is_open, is_known = cell.values, False, True
        if is_open and visit is not None:
            self._holes.add(before, after_last, is_leaf=is_leaf)

    def _strays(self) -> None:
        """Keep what lies on pages that no tree led to; pages that nobody has then are damaged."""
        unread: list[int] = []
        for number, page, table in self._map.strays():
            self._step()
            if page is None:
                if table is None:
                    unread.append(number)
                else:
                    self._note_damaged(table, number)
                continue
            self._map.seen[number] = 1
            if not page.is_whole:
                self._note_damaged(table or "", number)
            if table is not None and table not in self._layouts:
                continue
            if table is not None and self._take(self._layouts[table], page, None):
                continue
            self._take_by_looks(page)
        for number in unread:
            if not self._map.seen[number]:
                self._note_damaged("", number)

    def _take_by_looks(self, page: Page) -> None:
        """Keep the rows of a page for the first table that they can belong to."""
        cells = [cell for cell in page.cells if cell is not None and cell.kinds]
        if not cells:
            return
        self._note_names(cells)
        if any(_is_whole_row(layout, cells[0]) for layout in self._others):
            return
        fitting = [
            layout
            for layout in self._layouts.values()
            if layout.has_rowid == (cells[0].rowid is not None)
            and all(layout.fits(cell.kinds) for cell in cells)
        ]
        for layout in sorted(fitting, key=lambda layout: not layout.is_checked):
            self._flush()
            before = self._added[layout.table]
            self._take(layout, page, None)
            self._flush()
            if self._added[layout.table] > before or len(fitting) == 1:
                return

    # --- rows -----------------------------------------------------------------------------------

    def _keep(self, layout: Layout, row: tuple[Any, ...]) -> None:
        self._read[layout.table] += 1
        rows = self._rows.setdefault((layout.table, len(row)), [])
        rows.append(row)
        if len(rows) >= _CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        with transaction(self._fresh):
            for (table, count), rows in self._rows.items():
                text = self._layouts[table].insert(count)
                if table == _OUTCOME:
                    text = text.replace(f"INTO {_OUTCOME} ", "INTO temp.kept ", 1)
                self._added[table] += self._fresh.executemany(text, rows).rowcount
        self._rows.clear()

    def _keep_outcomes(self) -> None:
        """Add the outcomes of predictions that are there; one without it tells nothing."""
        self._fresh.execute(
            f"INSERT OR IGNORE INTO {_OUTCOME} SELECT * FROM temp.kept"  # noqa: S608
            " WHERE prediction_id IN (SELECT id FROM prediction)"
        )
        self._fresh.execute("DROP TABLE temp.kept")

    def _read_names(self) -> None:
        """Read the index of symbols' names, a second copy of them."""
        for name, root in self._map.roots.items():
            if self._map.tables.get(root) != "":
                continue
            for visit in self._map.walk(root):
                if not self._count_damage("", visit) or visit.page is None:
                    continue
                self._map.seen[visit.number] = 1
                if name == _NAMES_INDEX:
                    self._note_names([cell for cell in visit.page.cells if cell is not None])
                self._step()

    def _note_names(self, cells: list[Cell]) -> None:
        for cell in cells:
            if cell.kinds == "ti":
                name, number = cell.values
                if isinstance(name, str) and isinstance(number, int) and name == name.upper():
                    self._names.setdefault(number, name)

    def _name_symbols(self) -> tuple[str, ...]:
        """Add the symbols that rows are about and that are not there; returns made-up names."""
        used: set[int] = set()
        for table, layout in self._layouts.items():
            if any(column.name == "symbol_id" for column in layout.columns):
                used |= {int(i) for (i,) in self._fresh.execute(_distinct_symbols(table))}
        known = {int(i): str(n) for i, n in self._fresh.execute("SELECT id, name FROM symbol")}
        taken = set(known.values())
        made_up: list[str] = []
        for number in sorted(used - set(known)):
            name = self._names.get(number, "")
            if not name or name in taken:
                name = f"id-{number}"
                made_up.append(name)
            taken.add(name)
            self._fresh.execute("INSERT INTO symbol (id, name) VALUES (?, ?)", (number, name))
        return tuple(made_up)

    def _recount(self) -> int:
        counts = self._fresh.execute(
            "SELECT source, count(*) FROM candle GROUP BY source"
        ).fetchall()
        quarantined = self._fresh.execute("SELECT count(*) FROM quarantine").fetchone()[0]
        add_counts(
            self._fresh,
            {SOURCE_NAMES[Source(kind)]: count for kind, count in counts}
            | {"quarantine": quarantined},
        )
        return sum(count for _, count in counts)

    def _count_others(self) -> int:
        return sum(
            int(self._fresh.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
            for table in self._layouts
            if table != _CANDLE
        )

    # --- progress -------------------------------------------------------------------------------

    def _step(self) -> None:
        self._done += 1
        if self._done % _TOLD_EVERY_PAGES == 0:
            self._tell(min(self._done, self._file.count))

    def _tell(self, pages: int) -> None:
        if self._progress is not None:
            rows = sum(self._added.values())
            unreadable = sum(self._unreadable.values())
            self._progress(SalvageProgress(pages, self._file.count, rows, unreadable))


def _is_whole_row(layout: Layout, cell: Cell) -> bool:
    """Whether a record has a value for each column of a table, and each of a kind that fits."""
    return (
        layout.has_rowid == (cell.rowid is not None)
        and len(cell.kinds) == len(layout.columns)
        and layout.fits(cell.kinds)
    )


def _drop_disordered(layout: Layout, rows: list[Cell | None]) -> None:
    """Drop rows whose keys do not ascend: one of two neighbours is not what it was."""
    size = len(layout.key)
    before: tuple[int, Any] | None = None
    for index, cell in enumerate(list(rows)):
        if cell is None:
            continue
        key = cell.rowid if layout.has_rowid else cell.values[:size]
        if before is not None and not before[1] < key:
            rows[index] = rows[before[0]] = None
        before = index, key


def _texts(page: Page | None) -> dict[str, str]:
    """Return the pairs of texts on a page."""
    cells = page.cells if page is not None else []
    return {
        str(cell.values[0]): str(cell.values[1])
        for cell in cells
        if cell is not None and cell.kinds == "tt"
    }


def _distinct_symbols(table: str) -> str:
    """Return a query of the symbols that a table is about, by its index where it has one."""
    return (
        f"WITH RECURSIVE found (id) AS (SELECT min(symbol_id) FROM {table} UNION ALL"  # noqa: S608
        f" SELECT (SELECT min(symbol_id) FROM {table} WHERE symbol_id > found.id) FROM found"
        " WHERE id IS NOT NULL) SELECT id FROM found WHERE id IS NOT NULL"
    )
