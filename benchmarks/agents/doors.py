"""The two doors of a scripted agent: the MCP server as a process of its own, and the command. Both count calls."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from mcp import Client, StdioServerParameters
from mcp_types import TextContent

CALL_S = 330.0
T = TypeVar("T")


class Refused(Exception):
    """The answer was an error; its words."""


class Tools:
    """The tools, by the official client over stdio."""

    name = "tools"

    def __init__(self, home: Path, code: Path) -> None:
        self.calls = self.bytes = 0
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        arguments = ["-P", "-m", "celeriac.mcp", "--home", str(home)]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        server = StdioServerParameters(command=sys.executable, args=arguments, env=environment, cwd=code)
        self._opened, self._close, self._client = threading.Event(), asyncio.Event(), Client(server)
        self._served = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        if not self._opened.wait(60):
            raise RuntimeError("the MCP server does not answer")

    async def _serve(self) -> None:
        """Hold the connection in one task from its opening to its end, as its cancel scopes ask for."""
        async with self._client:
            self._opened.set()
            await self._close.wait()

    def __call__(self, tool: str, **arguments: Any) -> Any:
        """One call. Raises Refused."""
        self.calls += 1
        found = self._run(self._client.call_tool(tool, arguments))
        said = "".join(part.text for part in found.content if isinstance(part, TextContent))
        self.bytes = max(self.bytes, len(said))
        if found.is_error:
            raise Refused(said)
        return json.loads(said)

    def close(self) -> None:
        """Hang up: the server ends."""
        self._loop.call_soon_threadsafe(self._close.set)
        self._served.result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S)


class Command:
    """The command, with JSON where it reads."""

    name = "command"

    def __init__(self, home: Path, code: Path) -> None:
        self.calls = self.bytes = 0
        self._code = code
        self._environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "CELERIAC_HOME": str(home)}

    def __call__(self, *words: Any, ok: tuple[int, ...] = (0,)) -> Any:
        """One call; what it printed, read where it is JSON. Raises Refused."""
        self.calls += 1
        done = subprocess.run(
            [sys.executable, "-m", "celeriac.cli", *map(str, words)],
            cwd=self._code,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=CALL_S,
        )
        if done.returncode not in ok:
            raise Refused(f"{done.returncode}: {done.stderr.strip()}")
        self.bytes = max(self.bytes, len(done.stdout))
        return json.loads(done.stdout) if "--json" in words else done.stdout.strip()

    def close(self) -> None:
        """Nothing is held."""
