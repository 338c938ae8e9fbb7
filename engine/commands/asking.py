"""Asking the running engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from engine.commands.guard import CommandError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from engine.service.client import EngineClient
    from engine.service.contract import Done, Request
    from engine.settings import Settings


T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in an event loop of its own; asyncio is not imported before."""
    import asyncio

    return asyncio.run(work)


async def running_engine(settings: Settings) -> EngineClient | None:
    """Return a connection to the engine of this data directory; None when none runs.

    Raises:
        EngineMismatch: when it is of another version.
        EngineProblem: when it does not want viewers, or runs another source.
    """
    from engine.service.client import EngineClient, EngineGone, EngineProblem
    from engine.service.places import find_socket
    from engine.service.problems import refuse_other_source

    try:
        client = await EngineClient.connect(find_socket(settings.directory))
    except EngineGone:
        return None
    try:
        refuse_other_source(settings, client.welcome.source, client.welcome.source_note)
    except EngineProblem:
        await client.close()
        raise
    return client


async def ask(client: EngineClient, request: Request) -> Done:
    """Return the engine's `Done` and close the connection.

    Raises:
        EngineGone: when the engine leaves.
        EngineProblem: with the engine's sentence.
    """
    from engine.service.contract import Done

    try:
        answer = await client.ask(request)
    finally:
        await client.close()
    if not isinstance(answer, Done):
        raise CommandError(f"The engine answered with {type(answer).__name__}.")
    return answer


def no_engine(settings: Settings, what: str) -> CommandError:
    """Return the error of a command that needs an engine and finds none."""
    return CommandError(
        f"No engine runs for {settings.directory}, and {what}; start one with `klinetop` or "
        "`klinetop serve`."
    )
