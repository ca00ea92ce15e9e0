"""What is known of recorders that share each series, as one immutable value, and what follows from it. No I/O."""

from enum import Enum
from typing import Final

import msgspec

from stins.control import JoinRequest, PrepareRequest, RecorderState, RecorderStatus, SeriesState, SeriesStatus

__all__ = ["Ledger", "Member", "Standing"]

_BUSY = (RecorderState.RECORDING, RecorderState.RECOVERING)


class Standing(Enum):
    """How a recorder stands to the series.

    LOST: it was restarted and knows nothing of it. AWAY: nobody hears it, but it may come back and go on; GONE: nobody
    waits for that any more.
    """

    NOT_YET = "not yet"
    OPEN = "open"
    ENDED = "ended"
    LOST = "lost"
    AWAY = "away"
    GONE = "gone"


#: Standings of recorders that may still close their part.
_AT_IT: Final = frozenset({Standing.NOT_YET, Standing.OPEN, Standing.AWAY})


class Shown(Enum):
    """Whether the parts of a series that runs can be read as one file."""

    NOT_YET = "not yet"
    SHOWN = "shown"
    HIDDEN = "hidden"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One recorder: its last word, or why there is none, and its last account of the series."""

    name: str = "?"
    status: RecorderStatus | None = None
    silence: str = "nothing heard yet"
    given_up: bool = False
    account: SeriesStatus | None = None

    @property
    def standing(self) -> Standing:
        """How it stands to the series; what it has closed stays closed, whatever becomes of it."""
        account, status = self.account, self.status
        if account is not None and account.state is not SeriesState.OPEN:
            return Standing.ENDED
        if status is None:
            return Standing.GONE if self.given_up else Standing.AWAY
        if account is None:
            return Standing.NOT_YET
        known = status.series is not None and status.series.series_id == account.series_id
        return Standing.OPEN if known or status.state in _BUSY else Standing.LOST


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, by their share; `order` is the series that was prepared last.

    `joined` is the account of the joined file, `problem` why there is none (`known`: somebody has seen that), and
    `joined_from` how all stood when it was begun. `shown`: the file
    shows the parts before that, while they grow.
    """

    members: tuple[Member, ...]
    order: PrepareRequest | None = None
    joined: SeriesStatus | None = None
    problem: str = ""
    known: bool = False
    joined_from: tuple[Standing, ...] = ()
    shown: Shown = Shown.NOT_YET

    # -- events ---------------------------------------------------------------------------------

    def prepared(self, order: PrepareRequest) -> "Ledger":
        """A new series is asked for."""
        members = tuple(msgspec.structs.replace(member, account=None) for member in self.members)
        return Ledger(members=members, order=order)

    def heard(self, index: int, status: RecorderStatus) -> "Ledger":
        """A recorder says how it is."""
        before = self.members[index]
        series_id = self.order.series_id if self.order else None
        ours = status.series is not None and (self.order is None or status.series.series_id == series_id)
        account = status.series if ours else before.account if self.order else None
        return self._with(index, Member(name=status.name, status=status, account=account))

    def silent(self, index: int, why: str) -> "Ledger":
        """A recorder is not heard any more."""
        member = msgspec.structs.replace(self.members[index], status=None, silence=why)
        return self._with(index, member)

    def given_up(self, index: int) -> "Ledger":
        """A recorder that is not heard is not waited for any more."""
        return self._with(index, msgspec.structs.replace(self.members[index], given_up=True))

    def tried(self, request: JoinRequest, joined: SeriesStatus | None, problem: str) -> "Ledger":
        """The parts were joined, or could not be; nothing changes if another series is asked for by now."""
        if self.order is None or self.order.series_id != request.series_id:
            return self
        return msgspec.structs.replace(self, joined=joined or self.joined, problem=problem, known=False)

    def forgiven(self) -> "Ledger":
        """What could not be joined is known, and no fault any more."""
        return msgspec.structs.replace(self, known=True)

    def trying(self) -> "Ledger":
        """The parts are being joined, as they stand now."""
        return msgspec.structs.replace(self, joined_from=self.standings)

    def showing(self, shown: Shown) -> "Ledger":
        """The parts are shown as one file while they grow, or are not any more."""
        return msgspec.structs.replace(self, shown=shown)

    def _with(self, index: int, member: Member) -> "Ledger":
        members = (*self.members[:index], member, *self.members[index + 1 :])
        return msgspec.structs.replace(self, members=members)

    # -- what follows ---------------------------------------------------------------------------

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How each stands to the series."""
        return tuple(member.standing for member in self.members)

    @property
    def over(self) -> bool:
        """Whether no recorder that lives is still at the series, and one has closed its part."""
        standings = set(self.standings)
        return Standing.ENDED in standings and not standings & _AT_IT

    @property
    def settled(self) -> bool:
        """Whether nothing more happens to the series: it is joined, or cannot be, or has no file."""
        order = self.order
        return bool(self.joined or self.problem) or (self.over and (order is None or not order.filename))

    @property
    def under_way(self) -> bool:
        """Whether there is a series that has begun and is not settled."""
        return self.order is not None and not self.settled and any(member.account for member in self.members)

    @property
    def to_join(self) -> JoinRequest | None:
        """What is to be joined now: the series is over, and was not joined since the last change in who has closed."""
        order = self.order
        if order is None or not order.filename or not self.over or self.joined_from == self.standings:
            return None
        absent = tuple(index for index, each in enumerate(self.standings) if each is not Standing.ENDED)
        return self._request(order.series_id, order.filename, absent)

    @property
    def to_show(self) -> JoinRequest | None:
        """What is to be shown while it runs: every recorder has frames of it, and is to have the next ones in turn."""
        order = self.order
        if order is None or not order.filename or self.shown is not Shown.NOT_YET or self.over or self._discarded:
            return None
        begun = all(each.account is not None and each.account.dataset and each.account.rows for each in self.members)
        return self._request(order.series_id, order.filename) if begun else None

    @property
    def to_hide(self) -> JoinRequest | None:
        """What is shown, and must not be any more: its rows are not in turn."""
        order = self.order
        if order is None or not order.filename or self.shown is not Shown.SHOWN or not self._discarded:
            return None
        return None if self.joined else self._request(order.series_id, order.filename)

    @property
    def _discarded(self) -> bool:
        return any(member.account is not None and member.account.discarded for member in self.members)

    def _request(self, series_id: str, filename: str, absent: tuple[int, ...] = ()) -> JoinRequest:
        return JoinRequest(
            series_id=series_id,
            filename=filename,
            count=len(self.members),
            frames_expected=self.order.frames_expected if self.order else None,
            absent=absent,
        )
