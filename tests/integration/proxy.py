"""A TCP proxy that can be cut, as a network can, or be slow and break what it carries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["Proxy", "proxied"]


class Proxy:
    """Forwards connections to a server while it is not cut.

    Args:
        target: port of the server on this machine, or its Unix socket.

    `port` is its own.
    """

    def __init__(self, target: int | Path) -> None:
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._delay_s = 0.0
        self._resets: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break all connections; new ones are refused."""
        self._do(self._cut())

    def slow(self, delay_s: float, resets: float, random: Random) -> None:
        """Let what the server says take a while, and break connections.

        Args:
            delay_s: how much later everything comes.
            resets: the share of connections that is broken each second.
            random: chooses them.
        """
        self._do(self._slow(delay_s, resets, random))

    def mend(self) -> None:
        """Let connections be made again, and be quick and whole."""
        self._do(self._mend())

    def close(self) -> None:
        """Break all connections and end."""
        self._do(self._mend())
        self._do(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cut(self) -> None:
        self._is_cut = True
        for writer in self._open:
            writer.transport.abort()

    async def _slow(self, delay_s: float, resets: float, random: Random) -> None:
        self._delay_s = delay_s
        self._resets = asyncio.create_task(self._reset_some(resets, random))

    async def _mend(self) -> None:
        self._is_cut, self._delay_s = False, 0.0
        resets, self._resets = self._resets, None
        if resets is not None:
            resets.cancel()

    async def _reset_some(self, share: float, random: Random) -> None:
        while True:
            for writer in tuple(self._open):
                if random.random() < share:
                    writer.transport.abort()
            await asyncio.sleep(1.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            there, back = await self._connect()
        except OSError:  # nobody listens: nor is anybody to think so here
            writer.transport.abort()
            return
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._pass(reader, back), self._late(there, writer))
        finally:
            self._open -= {writer, back}

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # it was cut, or one of the two has gone: the other is told below
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def _late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The same, each piece as late as the network is; one does not wait for the other."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)
        writing = asyncio.create_task(self._write(pieces, writer))
        with suppress(OSError):
            while data := await reader.read(65_536):
                await pieces.put((self._loop.time() + self._delay_s, data))
        await pieces.put((self._loop.time() + self._delay_s, b""))
        await writing

    async def _write(self, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        is_whole = True
        while (piece := await pieces.get())[1]:
            if not is_whole:
                continue  # whoever reads must not wait for room
            await asyncio.sleep(max(0.0, piece[0] - self._loop.time()))
            try:
                writer.write(piece[1])
                await writer.drain()
            except OSError:
                is_whole = False
        writer.transport.abort()

    def _do[Found](self, work: Coroutine[Any, Any, Found]) -> Found:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@contextmanager
def proxied(target: int | Path) -> Iterator[Proxy]:
    """A proxy before a port of this machine, or a Unix socket."""
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()
