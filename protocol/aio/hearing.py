"""What a wire brings: read, counted, refused, or told to the switchboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protocol.aio.carrier import Carrier
from protocol.aio.link import Link
from protocol.aio.placed import Placed
from protocol.errors import CallError, Internal
from protocol.frames import Ack, Call, Fault, Frame, Item, Reply, id_of, read
from protocol.switchboard import Effect, Switchboard


class Hearing:
    """``detaches`` says what losing its caller means to an operation; ``carry_out`` what to do."""

    def __init__(
        self,
        board: Switchboard,
        placed: Placed,
        detaches: Callable[[str], bool],
        carry_out: Callable[[list[Effect]], None],
    ) -> None:
        self._board = board
        self._placed = placed
        self._detaches = detaches
        self._carry_out = carry_out

    def take(self, carrier: Carrier, message: bytes) -> None:
        """One message of a wire. Raises ProtocolViolation when the link has to end for it."""
        link = carrier.link
        if link is None:
            return
        try:
            frame = read(message)
        except CallError as error:
            if link.hear(carrier.turn, message):
                link.junk()
                self._refuse(link, message, error)
            return
        if isinstance(frame, Ack):
            link.acknowledge(frame.heard)
        elif link.hear(carrier.turn, message):
            self._carry_out(self._board.receive(link.id, self._weighed(link, frame)))

    def _weighed(self, link: Link, frame: Frame) -> Frame:
        """What its sender may ask of us; with what losing the caller means, where it did not say.

        Raises ProtocolViolation.
        """
        if isinstance(frame, Call):
            link.asked()
            if frame.detach is None and self._detaches(frame.op):
                return replace(frame, detach=True)
        elif not isinstance(frame, Reply | Fault | Item):  # those to nothing are accused of it
            link.junk()
        return frame

    def _refuse(self, link: Link, message: bytes, error: CallError) -> None:
        """A frame could not be read. If it was the answer to a call of ours, that call fails."""
        named = id_of(message)
        if named is not None and named in self._placed:
            unread = Internal("UNREADABLE", f"the answer could not be read: {error}")
            self._carry_out(self._board.receive(link.id, Fault(named, unread)))
        elif named is not None and self._board.holds(named):
            link.put(Fault(None, error))  # under its id it would answer the call in flight
        else:
            link.put(Fault(named, error))
