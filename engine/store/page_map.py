"""Which page of a damaged file belongs to what: by its trees, its pointer map, or by its looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.store.btree_page import (
    INDEX_INTERIOR,
    INDEX_LEAF,
    TABLE_INTERIOR,
    TABLE_LEAF,
    PageReader,
)
from engine.store.page_file import POINTER_CHILD, POINTER_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.store.btree_page import Page, Value
    from engine.store.page_file import PageFile

    Key = tuple[Value, ...]

_SCHEMA_KINDS = {"table", "index", "trigger", "view"}
_TREES = ({INDEX_INTERIOR, INDEX_LEAF}, {TABLE_INTERIOR, TABLE_LEAF})


class Visit(NamedTuple):
    """A page of a tree, in the order of its keys.

    Attributes:
        number: Of the page.
        page: What could be read; None when that is nothing.
        low: Key of the row before all of the page's own and its children's; None for none known.
        high: Key of the row after them.
        is_leaf: Whether its place is that of a leaf; None when that is not known.
    """

    number: int
    page: Page | None
    low: Key | None
    high: Key | None
    is_leaf: bool | None


class PageMap:
    """The trees of one file.

    Attributes:
        pages: Reads single pages.
        seen: By page number: 1 once it has been accounted for.
        roots: Root page by name of table or index; lacks what the damage took.
        tables: Name of the table that a tree belongs to, by root page; indexes have "".
    """

    def __init__(self, file: PageFile) -> None:
        self._file = file
        self.seen = bytearray(file.count + 1)
        self.pages = PageReader(file.page, file.usable, self.seen)
        self.roots: dict[str, int] = {}
        self.tables: dict[int, str] = {}
        self._find_roots()
        self._free = file.free_pages()

    def walk(self, root: int) -> Iterator[Visit]:
        """Visit a tree from its root, parents before their children.

        Whoever takes a page sets it as seen; one that is seen already is visited as unreadable.
        """
        stack: list[tuple[int, Key | None, Key | None, bool | None]] = [(root, None, None, None)]
        family: set[int] = set()
        while stack:
            number, low, high, is_leaf = stack.pop()
            is_there = 1 <= number <= self._file.count and not self.seen[number]
            page = self.pages.page(number) if is_there else None
            if page is not None and not family:
                family = next(kinds for kinds in _TREES if page.kind in kinds)
            if page is not None and page.kind not in family:
                page = None
            yield Visit(number, page, low, high, is_leaf)
            if page is not None and page.right is not None:
                stack.extend(reversed(self._children(page, low, high)))

    def strays(self) -> Iterator[tuple[int, Page | None, str | None]]:
        """Visit pages that no tree led to: number, content, and the table they belong to.

        The table is None where the pointer map does not tell; pages of indexes, free pages and
        those that records flow over to are left out.
        """
        for number in range(1, self._file.count + 1):
            if self.seen[number] or number in self._free or self._file.is_reserved(number):
                continue
            told = self._file.parent(number)
            if told is not None and told[0] not in {POINTER_ROOT, POINTER_CHILD}:
                continue
            root = self._file.root(number)
            table = self.tables.get(root) if root is not None else None
            if table == "" or (number == 1 and self._file.is_header_whole):
                continue
            yield number, self.pages.page(number), table

    def _children(
        self, page: Page, low: Key | None, high: Key | None
    ) -> list[tuple[int, Key | None, Key | None, bool | None]]:
        children: list[tuple[int, Key | None, Key | None]] = []
        before = low
        for cell in page.cells:
            if cell is None or cell.child is None:
                before = None
                continue
            children.append((cell.child, before, cell.values))
            before = cell.values
        children.append((page.right or 0, before, high))
        levels = {self._is_leaf(number) for number, _, _ in children} - {None}
        level = levels.pop() if len(levels) == 1 else None
        return [(*child, level) for child in children]

    def _is_leaf(self, number: int) -> bool | None:
        data = self._file.page(number)
        if not data or data[0] not in _TREES[0] | _TREES[1]:
            return None
        return data[0] in {INDEX_LEAF, TABLE_LEAF}

    def _find_roots(self) -> None:
        """Read the schema: by its tree, and where that is damaged from all pages that look so."""
        is_whole = True
        for visit in self.walk(1):
            if visit.page is None or not visit.page.is_whole:
                is_whole = False
            if visit.page is not None:
                self.seen[visit.number] = 1
                self._note_roots(visit.page)
        if is_whole and self.roots:
            return
        for number in range(1, self._file.count + 1):
            data = self._file.page(number)
            if data and not self.seen[number] and data[0] == TABLE_LEAF:
                page = self.pages.page(number)
                if page is not None and self._note_roots(page):
                    self.seen[number] = 1

    def _note_roots(self, page: Page) -> bool:
        """Note what the schema says on one page; tells whether it is of the schema."""
        found = False
        for cell in page.cells:
            if cell is None or len(cell.values) != 5 or cell.values[0] not in _SCHEMA_KINDS:
                continue
            kind, name, _, root, _ = cell.values
            found = True
            if isinstance(root, int) and 1 < root <= self._file.count:
                self.roots.setdefault(str(name), root)
                self.tables.setdefault(root, str(name) if kind == "table" else "")
        return found
