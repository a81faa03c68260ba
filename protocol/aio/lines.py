"""The links of a node: opened, carried by one wire after the other, and closed."""

from __future__ import annotations

from protocol.aio.carrier import Carrier, Take
from protocol.aio.link import Link
from protocol.aio.wire import Wire
from protocol.resume import Turn, expired
from protocol.switchboard import LinkId


class Lines:
    """A link is there from `open` to `close`, whether a wire carries it or not."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._links: dict[LinkId, Link] = {}
        self._carriers: dict[LinkId, Carrier] = {}

    def __contains__(self, id: LinkId) -> bool:
        return id in self._links

    def __getitem__(self, id: LinkId) -> Link:
        return self._links[id]

    def find(self, id: LinkId) -> Link | None:
        return self._links.get(id)

    def carried(self, id: LinkId) -> bool:
        return id in self._carriers

    def open(self, id: LinkId) -> None:
        self._links[id] = Link(id)

    def close(self, id: LinkId) -> None:
        """Forget the link, and drop the wire that carries it."""
        link = self._links.pop(id, None)
        if link is not None:
            link.end()
            self._drop(id)

    async def serve(
        self, id: LinkId, wire: Wire, *, turn: Turn | None = None, heard: int = 0
    ) -> LinkId | None:
        """One wire of a link, until it ends.

        ``turn`` is what `fence` said, for a wire that goes on after the ``heard`` frames that the
        far side heard. Returns the link that it carried at last; None when another wire has taken
        it over. Raises FailedPrecondition (RESUME_EXPIRED).
        """
        link = self._links.get(id)
        if link is None:
            raise expired("it was given up")
        if turn is not None:
            self._resume(link, turn, heard)
        carrier = self._carriers[id] = Carrier(wire, link)
        try:
            await carrier.run(self._take)
        finally:
            last = carrier.link.id if carrier.link is not None else None
            if last is not None:
                self._carriers.pop(last, None)
        return last

    # One connection over several wires.

    def keep(self, id: LinkId) -> None:
        """From now on this link is counted and kept: it may go on over another wire."""
        self._links[id].ledger.keep()

    def fence(self, id: LinkId, heard: int | None = None) -> tuple[Turn, int]:
        """Hear no wire of this link any more: whose turn is next, and how much was heard.

        Raises FailedPrecondition (RESUME_EXPIRED) when it cannot go on after the ``heard`` frames
        that the far side heard; then its wire goes on.
        """
        link = self._links.get(id)
        if link is None:
            raise expired("it was given up")
        if heard is not None:
            link.ledger.check_resume(heard)
        self._drop(id)
        return link.ledger.fence(), link.ledger.heard

    def hand_over(self, from_: LinkId, to: LinkId, turn: Turn, heard: int) -> None:
        """The wire of one link carries another one from now on; the first one is gone.

        What the first one still has to say is said before. Raises FailedPrecondition
        (RESUME_EXPIRED), and when this is not the turn of that wire any more.
        """
        link = self._links.get(to)
        if link is None:
            raise expired("it was given up")
        self._resume(link, turn, heard)
        first = self._links.pop(from_)
        carrier = self._carriers.pop(from_)
        link.ledger.say_loose(first.ledger.take(first.ledger.size))
        self._drop(to)
        carrier.carry(link, turn)
        self._carriers[to] = carrier
        first.end()
        first.wake.set()  # the writer looks up, and sees whom it writes for now

    def _resume(self, link: Link, turn: Turn, heard: int) -> None:
        if link.ledger.turn != turn:
            raise expired("another wire has taken it up")
        link.ledger.resume(heard)
        link.wake.set()

    def _drop(self, id: LinkId) -> None:
        carrier = self._carriers.pop(id, None)
        if carrier is not None:
            carrier.drop()
