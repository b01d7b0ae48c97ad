"""A service on loopback that answers one request for a stream after the other, each after a while; or none."""

import contextlib
import socket
import threading

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class SlowService:
    """Answers in the order of the connections, also those whose clients have left: it cannot know."""

    def __init__(self, each_s=None):
        self._each_s = each_s
        self._done = threading.Event()
        self._open = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.settimeout(0.1)
        self._thread = threading.Thread(target=self._serve)
        self.answered = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self):
        while not self._done.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self._open.append(client)
                if self._each_s is not None:
                    self._answer(client)

    def _answer(self, client):
        self._done.wait(self._each_s)
        client.settimeout(1.0)
        with contextlib.suppress(OSError):
            client.recv(65_536)
            client.sendall(HEAD)
            self.answered += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        for one in (self._listener, *self._open):
            one.close()
