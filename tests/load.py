"""Load for a server on this machine: many connections that ask one after the other, with as little Python per request as possible.

    python tests/load.py http://127.0.0.1:8000/api/v1/budget/optimize bodies.json --seconds 5 --connections 32

`bodies.json` holds a list of bodies to post in turn; without it, requests are GET. Prints one line of JSON. A request is *dropped* if it was sent whole and its answer did not arrive
whole; a connection that was refused never carried one."""
import argparse
import asyncio
import itertools
import json
import time
from pathlib import Path
from urllib.parse import urlsplit


def as_requests(url, bodies, keep_alive=True, headers=()):
    "Requests as bytes."
    at = urlsplit(url)
    head = [f"Host: {at.netloc}", f"Connection: {'keep-alive' if keep_alive else 'close'}", *headers]
    lines = lambda method, *more: "\r\n".join([f"{method} {at.path or '/'} HTTP/1.1", *head, *more, "", ""]).encode()
    if bodies is None: return [lines("GET")]
    texts = [json.dumps(b).encode() for b in bodies]
    return [lines("POST", "Content-Type: application/json", f"Content-Length: {len(t)}") + t for t in texts]


class Asker(asyncio.Protocol):
    "One connection: asks, waits for the whole answer, asks again."
    def __init__(self, crowd): self.crowd, self.data, self.waiting, self.ended = crowd, b"", False, asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.ask()

    def ask(self):
        if self.crowd.over(): return self.transport.close()
        self.waiting, self.since = True, time.perf_counter()
        self.transport.write(next(self.crowd.requests))

    def data_received(self, data):
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0: return
        head = self.data[:end].lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0] or 0)
        if len(self.data) < end + 4 + length: return
        self.waiting = False
        self.crowd.answered(int(head[9:12]), time.perf_counter() - self.since, self.data[end + 4:])
        self.data = b""
        if b"connection: close" in head: self.transport.close()
        else: self.ask()

    def connection_lost(self, error):
        if self.waiting: self.crowd.dropped += 1
        if not self.ended.done(): self.ended.set_result(None)


class Crowd:
    "All connections together."
    def __init__(self, url, bodies=None, *, seconds=5.0, most=None, connections=32, keep_alive=True, headers=()):
        at = urlsplit(url)
        self.host, self.port, self.seconds, self.most, self.n, self.keep_alive = at.hostname, at.port or 80, seconds, most, connections, keep_alive
        self.requests = itertools.cycle(as_requests(url, bodies, keep_alive, headers))
        self.times, self.statuses, self.dropped, self.refused, self.asked, self.last = [], {}, 0, 0, 0, b""

    def over(self):
        self.asked += 1
        return time.perf_counter() > self.end or (self.most is not None and self.asked > self.most) or self.refused > 0

    def answered(self, status, seconds, body):
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.times.append(seconds)
        self.last = body

    async def connection(self):
        loop = asyncio.get_running_loop()
        while time.perf_counter() < self.end and not self.refused and (self.most is None or self.asked < self.most):
            try: _, asker = await loop.create_connection(lambda: Asker(self), self.host, self.port)
            except OSError: self.refused += 1; return
            await asker.ended

    async def run(self):
        start = time.perf_counter()
        self.end = start + self.seconds
        await asyncio.gather(*(self.connection() for _ in range(self.n)))
        return self.report(time.perf_counter() - start)

    def report(self, took):
        t = sorted(self.times) or [0.0]
        quantile = lambda p: round(1000 * t[min(len(t) - 1, int(p * len(t)))], 2)
        return dict(requests=len(self.times), per_second=round(len(self.times) / took, 1), p50_ms=quantile(.5), p99_ms=quantile(.99), statuses={str(k): v for k, v in self.statuses.items()}, dropped=self.dropped, refused=self.refused)


def main():
    parser = argparse.ArgumentParser(description="Load for a server on this machine.")
    parser.add_argument("url"); parser.add_argument("bodies", nargs="?")
    parser.add_argument("--seconds", type=float, default=5); parser.add_argument("--most", type=int); parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--close", action="store_true", help="a connection per request")
    a = parser.parse_args()
    bodies = json.loads(Path(a.bodies).read_text()) if a.bodies else None
    print(json.dumps(asyncio.run(Crowd(a.url, bodies, seconds=a.seconds, most=a.most, connections=a.connections, keep_alive=not a.close).run())))


if __name__ == "__main__": main()
