"""Whose the detector is: any client may set it up and arm it at any moment, and what another armed is left alone."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from ..backend import HardwareError
from .configuration import Configuration
from .link import MixedUpError
from .simplon import Simplon, SimplonError

__all__ = ["Claim"]

#: What another client, who was quicker, has done: by the state that it leaves.
_TAKEN: Final = {
    "initialize": "another client has begun to initialize the detector",
    "configure": "another client is arming the detector",
    "ready": "another client has armed the detector",
    "acquire": "another client has armed the detector",
}


class Claim:
    """What we have set up and armed, and how another client's doing shows."""

    def __init__(self, simplon: Simplon, configuration: Configuration) -> None:
        self._simplon = simplon
        self._configuration = configuration
        self._appendix: Any = None
        self._set_up: dict[str, Any] = {}

    # -- before it is armed ---------------------------------------------------------------------

    def note(self, keys: Sequence[str]) -> None:
        """These keys have the values that our series is to be taken with."""
        # One key changes others: what counts is what stands there when all are set.
        values = self._configuration.values
        self._set_up = {key: values[key] for key in keys}

    @property
    def keys(self) -> Collection[str]:
        """Those that were noted."""
        return self._set_up.keys()

    @contextmanager
    def undisturbed(self, step: str) -> Iterator[None]:
        """What the DCU refuses inside is told as another client's doing where one has taken the detector meanwhile."""
        try:
            yield
        except SimplonError as error:
            if error.status == 0:
                raise
            # It did answer: whatever is armed there now, it is not by our command.
            self.forget()
            state = self._simplon.state(step)
            if state not in _TAKEN:
                raise
            raise HardwareError(
                f"DCU at {self._simplon.url}: {step}: {_TAKEN[state]} since it was found idle here (its state is "
                f"{state!r}); that client is left alone: wait until it is done, or end its series there, then arm "
                f"again ({error})"
            ) from error

    # -- once it is -----------------------------------------------------------------------------

    def stake(self, appendix: Any) -> None:
        """What is armed now with this appendix is ours, also where the DCU's answer comes too late."""
        self._appendix = appendix

    def confirm(self, step: str) -> None:
        """The DCU has armed for us.

        If another appendix stands there now, that client was still setting the detector up, and its arming is refused:
        it takes another one for the next.
        """
        if (found := self._simplon.find(step, "header_appendix", "stream")) is not None:
            self._appendix = found.value

    def check(self, step: str) -> None:
        """Raises `MixedUpError` if another client has set the detector up at the last moment before we armed it.

        The configuration has to be read again before.
        """
        changed = [
            f"{key} is {parameter.value!r}, was set to {ours!r}"
            for key, ours in self._set_up.items()
            if (parameter := self._configuration.get(key)) is not None and not parameter.is_set_to(ours)
        ]
        if changed:
            raise MixedUpError(
                f"DCU at {self._simplon.url}: {step}: another client set the detector up at the moment when it was "
                f"armed here: {', '.join(changed)}; one of them has to wait for the other, then arm again"
            )

    def holds(self, step: str) -> bool:
        """Whether what is armed there may be what we armed last, and nobody has set the detector up since.

        The appendix is another one for each series. It stands there until somebody sets another, and a client that sets
        none arms with ours: so nothing is ours any more once our own series has ended, or our arming was refused.
        """
        if self._appendix is None:
            return False
        found = self._simplon.find(step, "header_appendix", "stream")
        return found is not None and found.is_set_to(self._appendix)

    def forget(self) -> None:
        """Whatever is armed from now on is another client's, until we arm again."""
        self._appendix = None
