#!/usr/bin/env python3
"""A TCP proxy that makes a network worse: proxy.py LISTEN_IP PORT TO_IP PORT.

Prints "ready". Then each line of standard input is a command, answered by "ok":
  delay MS    every byte, each way, arrives so much later (0.2 to 50; the rate is not limited by it)
  stall       nothing is read any more from either side, and no connection is closed
  stall-down  the same for what the server sends only: a client that does not read
  slow RATE   what the server sends is read no faster than so many bytes a second, of each connection
  go          ends a stall, and slow
  drop        resets every connection that is open
  refuse      as drop, and further ones are reset as soon as they come
  accept      ends refuse
  bytes       answers "ok N": bytes brought to clients so far
"""

import asyncio
import socket
import struct
import sys

CHUNK = 256 * 1024
SLOW_CHUNK = 16 * 1024
# What may be on its way at once, each way: a fast network at 50 ms holds no more.
IN_FLIGHT = 64 * 1024 * 1024


class Proxy:
    def __init__(self, to):
        self.to = to
        self.delay_s = 0.0
        self.refusing = False
        self.down_rate = 0.0
        self.gates = {"up": asyncio.Event(), "down": asyncio.Event()}
        self.writers = set()
        self.brought = 0
        for gate in self.gates.values():
            gate.set()

    def reset(self, writer):
        raw = writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def copy(self, reader, writer, way):
        """Reads at once, and writes each chunk when its time has come."""
        queue, waiting = asyncio.Queue(), 0
        room = asyncio.Event()
        room.set()
        loop = asyncio.get_running_loop()

        async def deliver():
            nonlocal waiting
            while True:
                due, data = await queue.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                if not data:
                    writer.write_eof()
                    return
                # What is on its way is lost in a stall, as with a cable that is out: it waits here.
                await self.gates[way].wait()
                writer.write(data)
                await writer.drain()
                waiting -= len(data)
                room.set()
                if way == "down":
                    self.brought += len(data)

        task = asyncio.create_task(deliver())
        try:
            while not task.done():
                await self.gates[way].wait()
                await room.wait()
                slow = way == "down" and self.down_rate > 0
                data = await reader.read(SLOW_CHUNK if slow else CHUNK)
                if slow:
                    await asyncio.sleep(len(data) / self.down_rate)
                waiting += len(data)
                if waiting > IN_FLIGHT:
                    room.clear()
                queue.put_nowait((loop.time() + self.delay_s, data))
                if not data:
                    break
            await task
        finally:
            task.cancel()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        other = None
        try:
            if self.refusing:
                return
            far_reader, other = await asyncio.open_connection(*self.to, limit=CHUNK)
            self.writers.add(other)
            for end in (writer, other):
                end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ways = [
                asyncio.create_task(self.copy(reader, other, "up")),
                asyncio.create_task(self.copy(far_reader, writer, "down")),
            ]
            done, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            for task in pending:
                task.cancel()
            for task in done:
                task.exception()
        except OSError:
            pass
        finally:
            for end in (writer, other):
                if end is not None:
                    self.writers.discard(end)
                    self.reset(end)

    def obey(self, line):
        word, *rest = line.split()
        if word == "delay":
            self.delay_s = float(rest[0]) / 1000
        elif word in ("stall", "stall-down"):
            self.gates["down"].clear()
            if word == "stall":
                self.gates["up"].clear()
        elif word == "slow":
            self.down_rate = float(rest[0])
        elif word == "go":
            self.down_rate = 0.0
            for gate in self.gates.values():
                gate.set()
        elif word in ("drop", "refuse"):
            self.refusing = word == "refuse"
            for writer in list(self.writers):
                self.reset(writer)
        elif word == "accept":
            self.refusing = False
        elif word == "bytes":
            return f"ok {self.brought}"
        else:
            return f"no such command: {word}"
        return "ok"


async def main(listen_ip, listen_port, to_ip, to_port):
    proxy = Proxy((to_ip, int(to_port)))
    server = await asyncio.start_server(proxy.serve, listen_ip, int(listen_port), limit=CHUNK)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    async with server:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(proxy.obey(line), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
