"""What a fresh interpreter has loaded after importing our modules: one process for each room."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCREEN = ("textual", "rich", "plotext", "tui")
HEAVY = ("pandas", "numpy", "binance", "tensorflow", "keras", "sklearn", "ta", "aiohttp")
TRAINER_ONLY = ("tensorflow", "keras", "sklearn", "pandas", "ta")
IMPORT_EACH = """
import importlib, json, sys
seen = set(sys.modules)
loaded = {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    tops = {module.partition(".")[0] for module in sys.modules if module not in seen}
    loaded[name] = sorted(tops)
    seen = set(sys.modules)
print(json.dumps(loaded))
"""


def modules_of(room: str) -> list[str]:
    found = []
    for file in sorted((ROOT / room).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__main__":
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def loaded_by(modules: list[str]) -> dict[str, list[str]]:
    """Import the modules in turn; tell for each what it was the first to load."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, *modules],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded: dict[str, list[str]] = json.loads(done.stdout)
    return loaded


def offenders(modules: list[str], forbidden: tuple[str, ...]) -> dict[str, list[str]]:
    return {
        module: bad
        for module, loaded in loaded_by(modules).items()
        if (bad := [name for name in loaded if name in forbidden])
    }


ENGINE_ROOMS = sorted(
    path.name for path in (ROOT / "engine").iterdir() if (path / "__init__.py").is_file()
)


@pytest.mark.parametrize("room", ENGINE_ROOMS)
def test_the_engine_has_no_screen_and_no_training_libraries(room: str) -> None:
    assert offenders(modules_of(f"engine/{room}"), SCREEN + TRAINER_ONLY) == {}


def test_the_top_of_the_engine_has_no_screen() -> None:
    top = [f"engine.{path.stem}" for path in (ROOT / "engine").glob("*.py") if path.stem[0] != "_"]
    assert offenders(["engine", *sorted(top)], SCREEN + TRAINER_ONLY) == {}


@pytest.mark.parametrize("module", ["engine.cli", "tui.cli"])
def test_the_program_starts_light(module: str) -> None:
    slow = ("asyncio", "logging.handlers", "textual", "rich")
    assert offenders([module], HEAVY + slow) == {}


def test_the_terminal_never_loads_what_is_heavy() -> None:
    terminal = [name for name in modules_of("tui") if name != "tui.cli"]
    assert offenders([*terminal, "engine.service.launch"], (*HEAVY, "sqlite_utils")) == {}


def test_each_terminal_module_imports_by_itself() -> None:
    for module in ("tui.app", "engine.service.client", "engine.service.launch"):
        assert offenders([module], HEAVY) == {}


def test_status_waits_for_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    from engine.store import Store

    Store.open(tmp_path, source="live").close()
    code = (
        "import sys; from engine.cli import make_group; from engine.commands.guard import"
        " run_guarded; status = run_guarded(make_group(), ['status', '--data-dir', sys.argv[1]]);"
        "heavy = {'asyncio', 'ssl', 'numpy', 'sqlite_utils', 'dateparser', 'engine.store.writer',"
        " 'engine.store.imports', 'engine.service.contract'} & set(sys.modules);"
        "sys.exit(f'{status} {sorted(heavy)}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "3 []"
