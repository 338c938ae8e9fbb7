"""The trainer process: one job over JSON lines on stdin and stdout, then gone.

Run as `python -m engine.forecast.trainer`, with `--foreground` where somebody waits for it and
nothing else is at work. It ends at once when stdin closes, so a killed engine
leaves no trainer behind. Standard output carries the protocol only: whatever a library prints
goes to standard error.
"""

from __future__ import annotations

import os
import queue
import resource
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from engine import __version__
from engine.forecast.priority import step_back
from engine.forecast.protocol import (
    CancelJob,
    Failure,
    FromTrainer,
    Heartbeat,
    Hello,
    Progress,
    Result,
    TrainJob,
    line,
    pinned_environment,
    to_trainer,
)
from engine.forecast.values import TUTORIAL, ForecastError

if TYPE_CHECKING:
    from engine.forecast.values import JsonObject

FOREGROUND = "--foreground"
HEARTBEAT_S = 1.0
_ORPHANED = 3
_MISSING = (
    "TensorFlow is not installed here, and a model can not be trained without it: "
    "install it with 'pip install tensorflow-cpu' (or 'tensorflow' on other machines)."
)


class Channel:
    """The protocol's end in the trainer.

    Args:
        source: Lines from the engine; its end is the end of the process.
        sink: Where lines to the engine go, unbuffered.
    """

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        self._jobs: queue.Queue[TrainJob] = queue.Queue()
        self._cancelled = threading.Event()

    def start(self) -> None:
        """Start to listen, and to send heartbeats."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def send(self, message: FromTrainer) -> None:
        """Write one line; the process ends when nobody reads."""
        try:
            with self._lock:
                self._sink.write(line(message))
                self._sink.flush()
        except BrokenPipeError:
            os._exit(_ORPHANED)

    def job(self) -> TrainJob:
        """Wait for the job."""
        return self._jobs.get()

    def is_cancelled(self) -> bool:
        """Whether the engine asked to stop."""
        return self._cancelled.is_set()

    def _listen(self) -> None:
        for text in self._source:
            try:
                message = to_trainer(text)
            except msgspec.DecodeError as error:
                self.send(
                    Failure("protocol", f"The trainer was sent a line it can not read: {error}")
                )
                continue
            if isinstance(message, CancelJob):
                self._cancelled.set()
            else:
                self._jobs.put(message)
        os._exit(_ORPHANED)

    def _beat(self) -> None:
        pause = threading.Event()
        while not pause.wait(HEARTBEAT_S):
            self.send(Heartbeat(resident_bytes()))


def resident_bytes() -> int:
    """Return this process's resident memory; its peak where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def run(job: TrainJob, channel: Channel) -> FromTrainer:
    """Do the job and return the last message: its result or what went wrong."""
    os.environ.update(pinned_environment(os.environ, job.config.threads))
    channel.send(Progress("starting", message="Loading TensorFlow."))
    try:
        import tensorflow as tf
    except ImportError as error:
        if (error.name or "").partition(".")[0] in {"tensorflow", "keras"}:
            return Failure("missing", _MISSING)
        return Failure("import", f"TensorFlow can not be loaded here ({error}).")
    tf.config.threading.set_intra_op_parallelism_threads(max(1, job.config.threads))
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from engine.forecast.lstm import Cancelled

    try:
        return Result(_train(job, channel))
    except Cancelled:
        return Failure("cancelled", "The training was cancelled.", cancelled=True)
    except ForecastError as error:
        return Failure(type(error).__name__, str(error))
    except MemoryError:
        return Failure("memory", "There is not enough memory to train; ask for fewer rows.")
    except Exception as error:  # noqa: BLE001  whatever broke must reach the engine in words
        import traceback

        traceback.print_exc()
        return Failure(type(error).__name__, f"The training broke off: {error}")


def _train(job: TrainJob, channel: Channel) -> JsonObject:
    from engine.forecast.dataset import load_columns
    from engine.forecast.training import train
    from engine.forecast.tutorial import train_tutorial

    columns = load_columns(Path(job.data_path), job.data_sha)
    channel.send(Progress("training", networks=job.config.networks, epochs=job.config.epochs))
    if job.config.recipe == TUTORIAL:
        return train_tutorial(
            columns, job.config, report=channel.send, is_cancelled=channel.is_cancelled
        )
    return train(
        columns,
        job.config,
        Path(job.out_dir),
        job.data_sha,
        report=channel.send,
        is_cancelled=channel.is_cancelled,
    )


def main() -> None:
    """Serve one job and end."""
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    step_back(foreground=FOREGROUND in sys.argv[1:])
    channel = Channel(sys.stdin.buffer, sink)
    channel.send(Hello(os.getpid(), __version__))
    channel.start()
    channel.send(run(channel.job(), channel))
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
