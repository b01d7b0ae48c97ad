"""The users of this process; each has a client once there is a seat for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from load.session import SeatedClient, Session
from load.visits import Visitor


class UserPlace:
    """One user's place; its client sits in one session."""

    __slots__ = ("client", "session")

    def __init__(self) -> None:
        self.client: SeatedClient | Visitor | None = None
        self.session: Session | None = None


class UserPlaces:
    """The users in this process, in order of arrival.

    `ask` gets the number of further seats needed, and answers with `seat`, now or later; `give_back` gets seats that
    are free again. `soon` runs a function in the next turn of the loop, so that many users make one request.
    """

    def __init__(
        self,
        ask: Callable[[int], None],
        give_back: Callable[[Sequence[int]], None],
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._ask = ask
        self._give_back = give_back
        self._soon = soon
        self._session: Session | None = None
        self._waiting: dict[UserPlace, None] = {}
        self._present = 0
        self._asked = 0
        self._returned: list[int] = []
        self._flushing = False

    @property
    def users(self) -> int:
        """The number of users, with or without a client."""
        return self._present

    @property
    def session(self) -> Session | None:
        """The holders of the clients; None between tests."""
        return self._session

    def open(self, session: Session) -> None:
        """A test begins: users get clients in this session."""
        self._session, self._asked = session, 0
        self._flush_soon()

    def close(self) -> None:
        """End the test, or a failed start: no user gets a client, and seats are no longer returned."""
        self._session, self._asked = None, 0
        self._returned.clear()

    def enter(self) -> UserPlace:
        """Add a user."""
        place = UserPlace()
        self._waiting[place] = None
        self._present += 1
        self._flush_soon()
        return place

    def leave(self, place: UserPlace) -> None:
        """A user leaves."""
        self._present -= 1
        self._waiting.pop(place, None)
        if place.session is not None and place.client is not None:
            place.session.leave(place.client)
            if place.session is self._session:
                self._returned.append(place.client.seat.number)
                self._flush_soon()

    def seat(self, numbers: Sequence[int]) -> None:
        """Seats were assigned."""
        if self._session is None:
            return
        self._asked -= len(numbers)
        for number in numbers:
            place = next(iter(self._waiting), None)
            if place is None:
                self._returned.append(number)
                self._flush_soon()
            else:
                del self._waiting[place]
                place.session, place.client = self._session, self._session.join(number)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._session is None:
            return
        if self._returned:
            returned, self._returned = self._returned, []
            self._give_back(returned)
        lacking = len(self._waiting) - self._asked
        if lacking > 0:
            self._asked += lacking
            self._ask(lacking)
