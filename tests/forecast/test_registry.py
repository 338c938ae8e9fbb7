from __future__ import annotations

import shutil
import threading

import msgspec
import pytest

from engine.forecast import registry as registry_module
from engine.forecast.registry import MANIFEST, Registry, RegistryError, load_model, seal

KEY = ("BTCUSDT", "1m")


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models", 5)


def adopt(registry, trained, job_id="job"):
    scratch = registry.scratch(*KEY, job_id)
    shutil.copytree(trained, scratch, dirs_exist_ok=True)
    return registry.adopt(*KEY, scratch)


def spoil(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_versions_count_up_and_the_champion_is_found_again(registry, trained):
    first, second = adopt(registry, trained), adopt(registry, trained)
    assert (first.version, second.version) == ("v000001", "v000002")
    registry.set_champion(first)
    again, problems = Registry(registry.directory, 5).champion(*KEY)
    assert again.name == first.name
    assert not problems
    assert list(registry.markets()) == [KEY]
    assert again.info().version == "v000001"
    assert not list(registry.directory.rglob(".tmp-*"))


@pytest.mark.parametrize(
    "name", ["weights.npz", "scaler.npz", "baselines.npz", "metadata.json", "metrics.json"]
)
def test_one_flipped_byte_is_refused_and_another_version_used(registry, trained, name):
    first, second = adopt(registry, trained), adopt(registry, trained)
    registry.set_champion(second)
    spoil(second.directory / name)
    model, problems = registry.champion(*KEY)
    assert model.name == first.name
    assert name in problems[0]
    assert "train the market again" in problems[0]
    spoil(first.directory / name)
    assert registry.champion(*KEY)[0] is None


@pytest.mark.parametrize("name", ["weights.npz", MANIFEST])
def test_a_missing_file_is_refused(scratch_model, name):
    (scratch_model / name).unlink()
    with pytest.raises(RegistryError, match="train the market again"):
        load_model(scratch_model)


def test_a_spoiled_job_is_not_adopted(registry, trained):
    scratch = registry.scratch(*KEY, "job")
    shutil.copytree(trained, scratch, dirs_exist_ok=True)
    spoil(scratch / "weights.npz")
    with pytest.raises(RegistryError):
        registry.adopt(*KEY, scratch)
    assert registry.versions(*KEY) == []


def test_a_model_of_other_features_is_refused(scratch_model, monkeypatch):
    monkeypatch.setattr(registry_module, "features_sha", lambda: "other")
    with pytest.raises(RegistryError, match="other features"):
        load_model(scratch_model)


def test_pickles_are_not_read(scratch_model):
    import numpy as np

    np.savez(scratch_model / "weights.npz", kernel=np.array([print], dtype=object))
    seal(scratch_model)
    with pytest.raises(RegistryError, match="can not be read"):
        load_model(scratch_model)


def test_what_a_crashed_job_left_is_swept(registry, trained):
    model = adopt(registry, trained)
    scratch = registry.scratch(*KEY, "crashed")
    scratch.with_name(scratch.name + ".npz").write_bytes(b"x")
    registry.sweep()
    assert [path.name for path in model.directory.parent.iterdir()] == [model.name]


@pytest.mark.parametrize("symbol", ["../BTC", "", ".", "a/b", "-x"])
def test_names_that_leave_the_directory_are_refused(registry, symbol):
    with pytest.raises(RegistryError, match="does not name a market"):
        registry.series(symbol, "1m")


def test_minutes_and_months_have_folders_of_their_own_everywhere(registry):
    minute, month = registry.series("X", "1m"), registry.series("X", "1M")
    assert str(minute).lower() != str(month).lower()
    month.mkdir(parents=True)
    assert list(registry.markets()) == [("X", "1M")]


def test_the_alias_is_never_half_written(registry, trained):
    models = [adopt(registry, trained), adopt(registry, trained)]
    registry.set_champion(models[0])
    path = models[0].directory.parent / "ALIASES.json"
    names, seen, stop = {model.name for model in models}, set(), threading.Event()

    def read():
        while not stop.is_set():
            seen.add(msgspec.json.decode(path.read_bytes())["champion"])

    reader = threading.Thread(target=read)
    reader.start()
    for at in range(100):
        registry.set_champion(models[at % 2])
    stop.set()
    reader.join()
    assert seen <= names
