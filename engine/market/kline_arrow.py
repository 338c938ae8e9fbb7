"""Klines in Parquet and Feather as lines of CSV, batch by batch."""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING, Any

from engine.market.kline_errors import DamagedKlineFile, UnreadableKlineFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

_BATCH_ROWS = 16_384


def arrow_text(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield a header and lines of CSV.

    Times with a zone become numbers since the epoch, others stay texts without a zone. Numbers are
    the shortest decimals that mean the same in the width that the file has.

    Args:
        file: A Parquet file, or an Arrow file as Feather of version 2 is.
        name: What error messages call it.

    Raises:
        UnreadableKlineFile: when pyarrow is not installed.
        DamagedKlineFile: when the file is damaged.
    """
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UnreadableKlineFile(
            f"{name} is Parquet or Feather, which needs pyarrow: `pip install 'klinetop[parquet]'`."
        ) from None
    can_seek = getattr(file, "seekable", None)
    whole = file if can_seek is not None and can_seek() else io.BytesIO(file.read())
    try:
        if whole.read(4) == b"PAR1":
            source = parquet.ParquetFile(whole)
            names = source.schema_arrow.names
            batches = source.iter_batches(_BATCH_ROWS)
        else:
            reader = arrow.ipc.open_file(whole)
            names = reader.schema.names
            batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
        yield (",".join(_quoted(text) for text in names) + "\n").encode()
        for batch in batches:
            columns = [_texts(arrow, column) for column in batch.columns]
            yield ("\n".join(map(",".join, zip(*columns, strict=True))) + "\n").encode()
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DamagedKlineFile(
            f"{name} is damaged or half-written ({_first_line(error)}); fetch it again."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


def _quoted(text: str) -> str:
    plain = text.replace('"', "").replace("\n", " ").replace("\r", " ")
    return f'"{plain}"' if "," in plain else plain


def _texts(arrow: Any, column: Any) -> list[str]:
    """Return the cells of a column as texts; what is null is empty."""
    types = arrow.types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(arrow.int64())
    elif types.is_floating(kind):
        if kind != arrow.float64():
            column = column.cast(arrow.string()).cast(arrow.float64())
        return ["" if value is None else repr(value) for value in column.to_pylist()]
    elif types.is_nested(kind) or types.is_binary(kind):
        return [""] * len(column)
    elif not (types.is_integer(kind) or types.is_string(kind)):
        column = column.cast(arrow.string())
    return ["" if value is None else _quoted(str(value)) for value in column.to_pylist()]
