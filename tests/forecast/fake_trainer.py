"""A trainer that misbehaves on request: `python fake_trainer.py MODE [MODEL_DIRECTORY]`."""

import json
import shutil
import sys
import time
from pathlib import Path


def say(**message):
    print(json.dumps(message), flush=True)


def copy(job):
    sys.stdout.write('W0000 tensorflow says hello\n\x00\xff{"type": "result"\n{}\n[1, 2]\n')
    say(
        type="progress",
        state="training",
        network=1,
        networks=1,
        epoch=1,
        epochs=2,
        loss=[0.7],
        val_loss=[0.7],
    )
    model = Path(sys.argv[2])
    shutil.copytree(model, job["out_dir"], dirs_exist_ok=True)
    say(type="result", metrics=json.loads((model / "metrics.json").read_text()))


def main():
    mode = sys.argv[1]
    job = json.loads(sys.stdin.readline())
    say(type="hello", pid=1, version="test")
    if mode == "silent":
        time.sleep(60)
    elif mode == "deaf":  # ignores cancel and the end of its input
        while True:
            say(type="heartbeat", rss_bytes=1)
            time.sleep(0.05)
    elif mode == "busy":  # wants a core all the time, says nothing until its file is there
        while not Path(sys.argv[2]).exists():
            pass
        say(type="result", metrics={"accuracy": 0.5})
    elif mode == "heavy":
        say(type="heartbeat", rss_bytes=9_000_000_000)
        time.sleep(60)
    elif mode == "crash":
        print("boom", file=sys.stderr)
        sys.exit(1)
    elif mode == "refuse":
        say(type="error", error="X", message="There is nothing to learn from.")
    elif mode == "endless":
        sys.stdout.write("x" * 6_000_000)
        sys.stdout.flush()
        time.sleep(60)
    else:
        copy(job)


main()
