from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest

from engine.forecast.protocol import CancelJob, Failure, JobConfig, TrainJob
from engine.forecast.registry import load_model
from engine.forecast.supervisor import TRAINER

KERAS = """
import sys
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
windows = np.load(sys.argv[2])
np.save(sys.argv[3], np.asarray(model(windows, training=False))[:, 0])
"""


@pytest.mark.long
def test_a_planted_signal_is_learnt_and_labelled_with_care(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["accuracy"] > 0.56
    assert metrics["low"] < metrics["accuracy"] < metrics["high"]
    assert set(metrics["baselines"]) == {"majority", "reversal", "logistic", "boosting"}
    assert metrics["verdict"] in {"edge", "coin toss"}
    metadata = json.loads((trained / "metadata.json").read_text())
    assert metadata["seeds"] == [1, 2]
    assert metadata["gap"] == 15
    assert metadata["data_sha256"]
    assert metadata["versions"]["tensorflow"]


def test_numpy_scores_as_keras_does(trained, tmp_path):
    model = load_model(trained)
    windows = np.random.default_rng(1).normal(size=(2_000, 10, 21)).clip(-4, 4).astype(np.float32)
    np.save(tmp_path / "in.npy", windows)
    subprocess.run(
        [
            sys.executable,
            "-c",
            KERAS,
            str(trained / "model.keras"),
            str(tmp_path / "in.npy"),
            str(tmp_path / "out.npy"),
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    difference = np.abs(model.network.each(windows)[0] - np.load(tmp_path / "out.npy"))
    assert difference.max() <= 1e-6
    assert np.ptp(model.probability(windows)) > 0.05, "the networks say something"


@pytest.mark.long
def test_cancel_is_obeyed_between_batches_and_the_input_end_is_the_end(
    trainer, make_job, market, tmp_path
):
    one = trainer()
    assert one.read().pid == one.process.pid
    one.send(make_job(tmp_path, market(6_000), networks=50, epochs=50, threads=1))
    one.training()
    one.send(CancelJob())
    answer = one.result()
    assert isinstance(answer, Failure)
    assert answer.cancelled
    assert one.process.wait(60) == 0
    assert not (tmp_path / "out" / "MANIFEST.sha256").exists()


@pytest.mark.long
def test_the_tutorial_claims_on_a_random_walk_what_it_can_not_keep(
    trainer, make_job, market, tmp_path
):
    one = trainer()
    one.send(make_job(tmp_path, market(3_500), recipe="tutorial"))
    metrics = one.result().metrics
    assert metrics["claimed_accuracy"] >= 0.6
    assert metrics["low"] < 0.55
    assert metrics["accuracy"] < metrics["claimed_accuracy"] - 0.05
    assert metrics["test_rows"] == 2_001
    assert not (tmp_path / "out" / "MANIFEST.sha256").exists(), "it makes no model"


@pytest.mark.parametrize("told", [True, False])
def test_a_trainer_does_not_outlive_its_parents_pipe(trainer, make_job, market, tmp_path, told):
    one = trainer()
    one.read()
    if told:
        one.send(make_job(tmp_path, market(2_500), epochs=50))
    one.process.stdin.close()
    assert one.process.wait(60) != 0


@pytest.mark.skipif(sys.platform != "linux", reason="SCHED_IDLE is Linux's")
def test_the_engines_trainer_takes_only_what_nobody_else_wants(trainer):
    one = trainer(TRAINER)
    one.read()
    assert os.sched_getscheduler(one.process.pid) == os.SCHED_IDLE


def test_a_trainer_that_somebody_waits_for_is_nice(trainer):
    one = trainer()
    one.read()
    here = psutil.Process().nice()
    assert psutil.Process(one.process.pid).nice() == min(19, here + 10)
    if sys.platform == "linux":
        assert os.sched_getscheduler(one.process.pid) == os.sched_getscheduler(0)


def test_a_killed_trainer_leaves_no_model(trainer, make_job, market, tmp_path):
    one = trainer()
    one.send(make_job(tmp_path, market(2_500)))
    one.read()
    one.process.send_signal(signal.SIGKILL)
    one.process.wait(60)
    assert not list((tmp_path / "out").iterdir())


def test_a_missing_tensorflow_is_told_in_a_sentence(trainer, tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')\n"
    )
    one = trainer(PYTHONPATH=str(tmp_path))
    one.send(TrainJob("1", JobConfig(symbol="X", interval="1m"), "none", "none", "none"))
    answer = one.result()
    assert answer.error == "missing"
    assert "pip install tensorflow" in answer.message


def test_noise_on_stdout_stays_off_the_protocol(trainer, tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nprint('noise')\nos.write(1, b'more noise\\n')\n"
        "raise ModuleNotFoundError('no', name='tensorflow')\n"
    )
    one = trainer(PYTHONPATH=str(tmp_path))
    one.send(TrainJob("1", JobConfig(symbol="X", interval="1m"), "none", "none", "none"))
    assert one.result().error == "missing"
