"""Fault scripts: files, chance, and requests while the exchange runs."""

import asyncio
import json
import random
import time
from collections import Counter

import pytest

from engine.simulator.fault_steps import STEPS, name_of
from engine.simulator.random_faults import draw
from engine.simulator.script import Script, ScriptError, parse_step

MINUTE_MS = 60_000


async def until(condition, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def written(tmp_path, text, name="script.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


async def test_steps_come_at_their_exchange_times(start, tmp_path):
    text = """
    [[step]]
    at = "2m"
    every = "1m"
    fault = "drop_depth"
    count = 2

    [[step]]
    at = "1m"
    fault = "set_status"
    symbol = "LTCUSDT"
    status = "HALT"
    """
    client = await start(speed=300, script=Script.read(written(tmp_path, text)))
    running = client.running
    await until(lambda: running.script.counts["drop_depth"] >= 3)
    begin_ms = running.exchange.source.start_ms
    times = [deed.time_ms - begin_ms for deed in running.script.deeds]
    assert running.script.deeds[0].text == "set_status symbol=LTCUSDT status=HALT"
    assert all(
        due <= at < due + MINUTE_MS
        for at, due in zip(times, (MINUTE_MS, 2 * MINUTE_MS, 3 * MINUTE_MS), strict=False)
    )
    assert running.exchange.infos["LTCUSDT"].status == "HALT"


def test_json_lines_are_steps(tmp_path):
    lines = '{"fault":"silence","at":"5m","seconds":2}\n\n{"fault":"drop_connections"}\n'
    script = Script.read(written(tmp_path, lines, "script.jsonl"))
    assert [(name_of(step), step.at) for step in script.steps] == [
        ("silence", "5m"),
        ("drop_connections", "0s"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[step]]\nfault = "outages"', "Faults are clear_rest"),
        ('[[step]]\nfault = "outage"\nseconds = -1', "seconds"),
        ('[[step]]\nfault = "outage"\nsecs = 1', "secs"),
        ('[[step]]\nfault = "late_close"\nby = "soon"', "such as 5m|as in 5m"),
        ('[[step]]\nfault = "skip_close"\ninterval = "7m"', "7m"),
        ('[[step]]\nfault = "send_raw"', "text or hex"),
        ('[random]\nevery = "often"', "as in 5m"),
        ("[[step", "script.toml"),
    ],
)
def test_mistakes_are_told_in_a_sentence(tmp_path, text, words):
    with pytest.raises(ScriptError, match=words) as told:
        Script.read(written(tmp_path, text))
    assert str(told.value).endswith(".")


def test_a_step_that_is_too_deep_is_told_in_a_sentence():
    with pytest.raises(ScriptError, match="In the step: "):
        parse_step('{"x":' + "[" * 3000)


def test_a_file_that_is_not_there_and_a_market_that_is_not(tmp_path):
    with pytest.raises(ScriptError, match="can not be read"):
        Script.read(tmp_path / "nope.toml")
    script = Script((parse_step('{"fault":"delist","symbol":"XUSDT"}'),))
    with pytest.raises(ScriptError, match="XUSDT"):
        script.check(["BTCUSDT"])
    listed = (parse_step('{"fault":"list_symbol","symbol":"XUSDT"}'), *script.steps)
    Script(listed).check(["BTCUSDT"])


def test_chance_is_repeatable_and_reaches_every_kind():
    def drawn(seed):
        rng = random.Random(seed)
        return [draw(rng, 5.0) for _ in range(400)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    kinds = Counter(name_of(step) for step in drawn(3))
    assert len(kinds) >= 17
    changes = [step for step in drawn(3) if getattr(step, "change", None)]
    assert 1 <= len(changes) <= 40, "rare"
    assert 1 <= kinds["rewrite_kline"] <= 40
    assert kinds.keys() <= {name_of(kind) for kind in STEPS}
    assert max(getattr(step, "seconds", None) or 0 for step in drawn(3)) <= 3.5


async def test_random_faults_come_once_in_each_stretch(start):
    client = await start(speed=1200, script=Script.at_random(5, "2m"))
    running = client.running
    await until(lambda: len(running.script.deeds) >= 8)
    begin_ms = running.exchange.source.start_ms
    stretches = [(deed.time_ms - begin_ms) // (2 * MINUTE_MS) for deed in running.script.deeds]
    assert stretches[:8] == sorted(stretches[:8])
    assert not any(deed.problem for deed in running.script.deeds)


async def test_faults_are_asked_for_while_it_runs(start):
    client = await start(speed=20)
    url = f"{client.running.rest_url}/sim/faults"

    async def post(step, **headers):
        async with client.session.post(url, data=json.dumps(step), headers=headers) as answer:
            return answer.status, await answer.json()

    async with client.socket("/ws/btcusdt@trade") as socket:
        status, body = await post({"fault": "close_connections", "code": 1011})
        assert (status, body["done"]) == (200, "close_connections code=1011 unread=0")
        async with asyncio.timeout(60):
            while not socket.closed:
                await socket.receive()
        assert socket.close_code == 1011
    status, body = await post({"fault": "delist", "symbol": "XUSDT"})
    assert status == 400
    assert "XUSDT" in body["msg"]
    assert (await post({"fault": "outage", "at": "5m"}))[0] == 400
    assert (await post({"fault": "outage"}, Origin="https://example.org"))[0] == 403
    async with client.session.get(url) as answer:
        told = await answer.json()
    assert told["counts"] == {"close_connections": 1}
    assert told["faults"].keys() == {name_of(kind) for kind in STEPS}
    assert told["faults"]["outage"]["parameters"]["seconds"] == 5.0
    assert all(entry["what"].endswith(".") for entry in told["faults"].values())


async def test_the_record_costs_no_weight_and_has_no_faults(start):
    client = await start()
    client.running.faults.rest_answer(500)
    query = {"symbol": "BTCUSDT", "interval": "1m", "limit": "2000"}
    for _ in range(20):
        async with client.session.get(
            f"{client.running.rest_url}/sim/klines", params=query
        ) as answer:
            assert answer.status == 200
            assert len(await answer.json()) == 2000
    client.running.faults.clear_rest()
    _, _, headers = await client.ask("ping")
    assert headers["X-MBX-USED-WEIGHT-1M"] == "1"
