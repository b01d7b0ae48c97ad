"""Carries out orders on clients: cuts their connections, stops their reading, or churns them."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns

import gevent

from core.contracts.load_orders import LoadOrder
from load.control import chosen
from load.reader import StreamReader
from load.session import SeatedClient, Session

CHURN_EVERY_S = 1.0
CHURN_AWAY_S = 0.5


def obey(session: Session, order: LoadOrder, clients_of_run: int, ahead_ns: int = 0) -> None:
    """Carry out the order on the clients of this process; longer actions continue in the background.

    The clock by which it was given is `ahead_ns` ahead of this process's.
    A fault of clients begins when it takes effect, a moment after its order: an earlier mark is moved to that moment.
    """
    if order.do == "begin":
        if session.visits is not None:
            session.visits.begin(order.at_ns - ahead_ns)
        return
    if order.do == "mark":
        session.mark(order.at_ns - ahead_ns)
        return
    if order.do == "published":
        session.published_until_ns = order.at_ns - ahead_ns
        return
    numbers = chosen(clients_of_run, order.share)
    clients = [client for client in session.clients if client.seat.number in numbers]
    if order.do == "cut":
        if order.share < 1:
            session.set_aside(clients)
        for client in clients:
            client.reader.cut("cut on order")
    else:
        session.set_aside(clients)
        gevent.spawn(_stall if order.do == "stall" else _churn, clients, order.for_s)
        gevent.sleep(0)  # it begins now
    if session.marked:
        session.mark(time_ns())


def _readers(clients: Sequence[SeatedClient]) -> list[StreamReader]:
    return [client.reader for client in clients if not client.reader.closed]


def _stall(clients: Sequence[SeatedClient], for_s: float) -> None:
    paused = [reader for reader in _readers(clients) if reader.pause()]
    gevent.sleep(for_s)
    for reader in paused:
        reader.resume()


def _churn(clients: Sequence[SeatedClient], for_s: float) -> None:
    left_s = for_s
    while left_s > 0:
        for reader in _readers(clients):
            reader.cut("churn on order", back_s=CHURN_AWAY_S)
        gevent.sleep(min(CHURN_EVERY_S, left_s))
        left_s -= CHURN_EVERY_S
