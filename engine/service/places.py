"""Where an engine is found: its socket, the pointer to it, and the process that holds the lock."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import warnings
from contextlib import suppress
from pathlib import Path

MAX_SOCKET_PATH_BYTES = 103
POINTER_NAME = "engine.socket"
LOCK_NAME = "engine.lock"
LOG_NAME = "engine.log"


class UnsafeDirectory(OSError):
    """A runtime directory that belongs to somebody else; the text is a sentence for users."""


def socket_path(directory: Path) -> Path:
    """Return where the engine of data directory `directory` listens.

    It lies in the user's runtime directory under a hash of the resolved data directory, because a
    socket path holds 103 bytes on macOS (`sun_path`, unix(4)) and 107 on Linux (unix(7)).
    """
    name = hashlib.sha256(os.fsencode(directory.expanduser().resolve())).hexdigest()[:16] + ".sock"
    path = _runtime_directory() / name
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    short = _temporary() / f"klinetop-{os.getuid()}" / name
    if len(os.fsencode(short)) <= MAX_SOCKET_PATH_BYTES:
        return short
    return Path("/tmp") / f"klinetop-{os.getuid()}" / name  # noqa: S108  checked by private_directory


def pointer_path(directory: Path) -> Path:
    """Return the file in which an engine leaves the path of its socket."""
    return directory / POINTER_NAME


def find_socket(directory: Path) -> Path:
    """Return where to look for the engine of `directory`: where it said, else where it would."""
    with suppress(OSError, UnicodeDecodeError):
        told = pointer_path(directory).read_text(encoding="utf-8").strip()
        if told and Path(told).is_socket():
            return Path(told)
    return socket_path(directory)


def engine_pid(directory: Path) -> int | None:
    """Return the process id that holds the lock of `directory`; None when nobody does."""
    try:
        with (directory / LOCK_NAME).open("rb") as file:
            pid = int(file.read(32).split()[0])
            os.kill(pid, 0)
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return pid
    except (OSError, ValueError, IndexError):
        return None
    return None


def private_directory(path: Path) -> None:
    """Make `path` a directory of mode 0700 that belongs to this user.

    Raises:
        UnsafeDirectory: when it belongs to somebody else or is no real directory.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UnsafeDirectory(f"{path} belongs to another user; set XDG_RUNTIME_DIR to your own.")
    if stat.S_IMODE(found.st_mode) != 0o700:
        path.chmod(0o700)


def replace_text(path: Path, text: str) -> None:
    """Write `text` to `path` in one step."""
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(text + "\n", encoding="utf-8")
    scratch.replace(path)


def _temporary() -> Path:
    import tempfile

    return Path(tempfile.gettempdir())


def _runtime_directory() -> Path:
    import platformdirs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Path(platformdirs.user_runtime_dir("klinetop", appauthor=False))
        except OSError:
            return _temporary() / f"klinetop-{os.getuid()}"
