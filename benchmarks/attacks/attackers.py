"""How strangers behave: clients that ask without pause, and connections that are held."""

import contextlib
import http.client
import multiprocessing
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event

from benchmarks.attacks.requests import Address, Request, send

Answers = Counter[str]


@dataclass(frozen=True)
class Asking:
    """`clients` of which each sends the requests in turn, again and again; an answer may take `patience` seconds."""

    clients: int
    requests: tuple[Request, ...]
    patience: float = 60.0

    def run(self, address: Address, stop: Event) -> Answers:
        """Ask until `stop`; returns how many answers there were of each status."""
        answers: Answers = Counter()

        def ask(number: int) -> None:
            while not stop.is_set():
                number += 1
                try:
                    answers[str(send(address, self.requests[number % len(self.requests)], timeout=self.patience))] += 1
                except (OSError, http.client.HTTPException):
                    answers["none"] += 1
                    time.sleep(0.05)

        threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers


@dataclass(frozen=True)
class Holding:
    """`connections` of which each sends `data` and then neither closes nor reads, with a small buffer for answers."""

    connections: int
    data: bytes
    small_buffer: bool = False

    def run(self, address: Address, stop: Event) -> Answers:
        """Hold them until `stop`, opening those anew that the service closes; returns how many it closed."""
        answers: Answers = Counter()
        held: list[socket.socket] = []
        while not stop.is_set():
            for connection in held.copy():
                if is_closed(connection):
                    held.remove(connection)
                    connection.close()
                    answers["closed"] += 1
            while len(held) < self.connections and not stop.is_set():
                try:
                    held.append(self._open(address))
                except OSError:
                    answers["none"] += 1
                    break
            stop.wait(0.5)
        for connection in held:
            connection.close()
        return answers

    def _open(self, address: Address) -> socket.socket:
        connection = socket.socket()
        if self.small_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(5)
        connection.connect(address)
        with contextlib.suppress(OSError):  # refused while it sends
            connection.sendall(self.data)
        return connection


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed; what it has sent stays unread."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


Attacker = Asking | Holding
Prepare = Callable[[Address], tuple[Attacker, ...]]


def _attack(attackers: tuple[Attacker, ...], address: Address, stop: Event, out: Connection) -> None:
    answers: Answers = Counter()
    threads = [
        threading.Thread(target=lambda attacker=attacker: answers.update(attacker.run(address, stop)))
        for attacker in attackers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.send(answers)


@contextlib.contextmanager
def attacking(attackers: tuple[Attacker, ...], address: Address) -> Iterator[Answers]:
    """Attack from a process of its own while the block runs; the answers are filled in at its end."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_attack, args=(attackers, address, stop, sender), daemon=True)
    process.start()
    answers: Answers = Counter()
    try:
        yield answers
    finally:
        stop.set()
        if receiver.poll(90):
            answers.update(receiver.recv())
        process.kill()
        process.join()
