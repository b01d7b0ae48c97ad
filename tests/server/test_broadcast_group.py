"""A group sends the same bytes to each client, in order, whether they bypass the transports or go through them."""

import errno

from hypothesis import given
from hypothesis import strategies as st

from server.broadcast_group import LEAST, BroadcastGroup
from server.client import Client
from server.frame import Wire


class Sockets:
    """Stands in for the kernel behind descriptors: each accepts this many bytes, then nothing."""

    def __init__(self):
        self.got = {}
        self.room = {}
        self.broken = False
        self.usable = True

    def send(self, descriptors, data):
        if self.broken:
            raise OSError(errno.EBUSY, "busy")
        assert len(set(descriptors.tolist())) == len(descriptors)
        taken = [self.take(int(one), data) for one in descriptors]
        return [(place, count) for place, count in enumerate(taken) if count != len(data)]

    def take(self, descriptor, data):
        taken = data[: self.room[descriptor]]
        self.room[descriptor] -= len(taken)
        self.got[descriptor] += taken
        return len(taken) if taken else -errno.EAGAIN


class Connection:
    """A transport above one of the sockets."""

    wire = Wire.CHUNKED

    def __init__(self, sockets, descriptor, room=10**6):
        self.descriptor = descriptor
        self.aborted = False
        self._sockets = sockets
        self._held = b""
        sockets.got[descriptor], sockets.room[descriptor] = b"", room

    def write(self, data):
        self._held += data
        self.drain()

    def drain(self):
        self._held = self._held[max(0, self._sockets.take(self.descriptor, self._held)) :]

    def held_bytes(self):
        return len(self._held)

    def abort(self):
        self.aborted = True


def client_of(sockets, descriptor, room=10**6):
    return Client(["t"], Connection(sockets, descriptor, room))


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "write", "drain"]), st.integers(0, 40)), max_size=120))
def test_each_client_gets_what_was_written_while_it_listened_and_nothing_twice(steps):
    sockets = Sockets()
    group = BroadcastGroup(sockets)
    clients = [client_of(sockets, place, room=25 if place % 3 else 10**6) for place in range(LEAST + 25)]
    listening, wanted = set(), dict.fromkeys(range(len(clients)), b"")
    for at in range(LEAST):
        group.add(clients[at])
        listening.add(at)
    for number, (what, at) in enumerate(steps):
        if what == "add" and at not in listening:
            group.add(clients[at])
            listening.add(at)
        elif what == "remove":
            group.remove(clients[at])
            listening.discard(at)
        elif what == "write":
            data = b"<%d>" % number
            group.write(data)
            for one in listening:
                wanted[one] += data
        elif what == "drain":
            sockets.room[at] += 7
            clients[at].writer.drain()
        assert len(group) == len(listening)
    for at, client in enumerate(clients):
        sockets.room[at] = 10**6
        client.writer.drain()
        assert sockets.got[at] == wanted[at]


def test_a_connection_without_a_descriptor_is_written_to_directly():
    sockets = Sockets()
    group = BroadcastGroup(sockets)
    clients = [client_of(sockets, place) for place in range(2 * LEAST)]
    clients[3].writer.descriptor = -1
    for client in clients:
        group.add(client)
    sockets.got[-1], sockets.room[-1] = b"", 10**6
    group.write(b"event")
    assert sockets.got.pop(3) == b""
    assert set(sockets.got.values()) == {b"event"}


def test_if_the_sender_fails_its_clients_are_reported_and_it_is_not_used_again():
    sockets = Sockets()
    group = BroadcastGroup(sockets)
    clients = [client_of(sockets, place, room=3 if place == 0 else 10**6) for place in range(LEAST + 1)]
    for client in clients:
        group.add(client)
    assert group.write(b"event") == ()
    sockets.broken = True
    assert group.write(b"next") == clients[1:]  # the first one still has bytes in its transport
    sockets.usable = False
    for client in clients[1:]:
        group.remove(client)
    assert group.write(b"last") == ()
    sockets.room[0] = 10**6
    clients[0].writer.drain()
    assert sockets.got[0] == b"eventnextlast"
    assert sockets.got[1] == b"event"
