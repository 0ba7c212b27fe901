"""The targets of the probe benchmarks: an HTTP server that does as little as can be, in a process of its own.

    python benchmarks/probe_target.py PORTS [CERTIFICATE KEY]

Prints one JSON object: `ports` answer each request with a page of 1,000 bytes and close, as asked; `hung` takes
connections and says nothing; `counter` answers with how many requests were served, in plain. One loop on epoll.
"""

from __future__ import annotations

import contextlib
import json
import resource
import select
import socket
import ssl
import sys

HOST = "127.0.0.1"
BODY = b"<!doctype html><title>fine</title>".ljust(1000, b".")
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: target\r\nContent-Type: text/html\r\n"
    b"Content-Length: 1000\r\nConnection: close\r\n\r\n" + BODY
)
BACKLOG = 4096
DESCRIPTORS = 60_000


class Targets:
    """Listeners, and the connections that have not said anything yet."""

    def __init__(self, ports: int, context: ssl.SSLContext | None) -> None:
        self.served = 0
        self._context = context
        self._epoll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._pages = [self._listener() for _ in range(ports)]
        self._hung = self._listener()
        self._counter = self._listener()
        self._listeners = {one.fileno(): one for one in (*self._pages, self._hung, self._counter)}
        places = {"ports": [_port(one) for one in self._pages]}
        print(json.dumps(places | {"hung": _port(self._hung), "counter": _port(self._counter)}), flush=True)

    def _listener(self) -> socket.socket:
        one = socket.create_server((HOST, 0), backlog=BACKLOG)
        one.setblocking(False)  # noqa: FBT003 - the call has no keyword
        self._epoll.register(one.fileno(), select.EPOLLIN)
        return one

    def serve(self) -> None:
        """Serve until killed."""
        while True:
            for fd, _ in self._epoll.poll():
                listener = self._listeners.get(fd)
                if listener is not None:
                    self._accept(listener)
                else:
                    self._answer(fd)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):
            try:
                one, _ = listener.accept()
            except BlockingIOError:
                return
            if listener is self._counter:
                self._tell(one)
                continue
            one.setblocking(False)  # noqa: FBT003 - the call has no keyword
            if self._context is not None and listener is not self._hung:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one = self._context.wrap_socket(
                    one, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
                )
            self._open[one.fileno()] = one
            self._epoll.register(one.fileno(), select.EPOLLIN)

    def _tell(self, one: socket.socket) -> None:
        body = str(self.served).encode()
        with one:
            one.settimeout(5)
            one.recv(4096)
            one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)

    def _answer(self, fd: int) -> None:
        one = self._open[fd]
        try:
            if one.recv(65536):
                one.send(ANSWER)
                self.served += 1
                if isinstance(one, ssl.SSLSocket):
                    with contextlib.suppress(ssl.SSLError):  # says goodbye, and does not wait for the other's
                        one.unwrap().close()
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        except OSError:
            pass
        del self._open[fd]
        one.close()


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def main() -> None:
    """Serve as many ports as the arguments say."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[2:4])
    Targets(int(sys.argv[1]), context).serve()


if __name__ == "__main__":
    main()
