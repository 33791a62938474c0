"""Programs of the earlier text protocol, as people wrote them: blocking sockets, one read a message, no framing.

    python tests/e2e/classic_programs.py server BALANCER_PORT STYLE [SECONDS]
    python tests/e2e/classic_programs.py client BALANCER_PORT PROMPT...

The server answers a prompt in capitals after SECONDS. It registers before it listens, and while it works on a prompt
it sends no heartbeats. STYLE says what it does with a connection:

* ``keeps``   reads prompt after prompt on it
* ``closes``  closes it after each answer
* ``once``    reads once, answers, and turns to the next connection without closing this one
"""

from __future__ import annotations

import socket
import sys
import threading
import time

READ_BYTES = 1024
BEAT_S = 5.0


class Server:
    """The old server, with a lock where the old ones had the interpreter's."""

    def __init__(self, balancer_port: int, style: str, seconds: float) -> None:
        self.style = style
        self.seconds = seconds
        self.working = threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.control = socket.create_connection(("127.0.0.1", balancer_port))

    def run(self) -> None:
        self.control.sendall(f"REGISTER|127.0.0.1|{self.port}".encode())
        answer = self.control.recv(READ_BYTES)
        if answer != b"REGISTERED":
            sys.exit(f"not registered: {answer!r}")
        threading.Thread(target=self.beat, daemon=True).start()
        time.sleep(0.3)  # it took them a moment to get there
        self.listener.listen()
        say(f'{{"name": "classic-127.0.0.1:{self.port}", "port": {self.port}}}')
        left_open = []
        while True:
            connection, _ = self.listener.accept()
            if self.style == "keeps":
                while self.answer(connection):
                    pass
                connection.close()
            else:
                self.answer(connection)
                if self.style == "closes":
                    connection.close()
                else:
                    left_open.append(connection)

    def answer(self, connection: socket.socket) -> bool:
        message = connection.recv(READ_BYTES).decode()
        if not message:
            return False
        request_id, _, prompt = message.partition("|")
        with self.working:
            time.sleep(self.seconds)
            connection.sendall(f"{request_id}|{prompt.upper()}".encode())
        return True

    def beat(self) -> None:
        beats = 0
        while True:
            time.sleep(BEAT_S)
            with self.working:
                beats += 1
                self.control.sendall(f"HEARTBEAT {beats}".encode())


def client(balancer_port: int, prompts: list[str]) -> None:
    """Greets once, then asks and reads in turn."""
    with socket.create_connection(("127.0.0.1", balancer_port)) as connection:
        connection.sendall(b"CLIENT|ADD")
        for prompt in prompts:
            connection.sendall(prompt.encode())
            say(connection.recv(65536).decode())


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    role, port, *rest = sys.argv[1:]
    if role == "client":
        client(int(port), rest)
    else:
        Server(int(port), rest[0], float(rest[1]) if rest[1:] else 0.0).run()


if __name__ == "__main__":
    main()
