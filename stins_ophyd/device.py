"""The detector as an ophyd device: a thin face of the controller."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, Kind

from stins import StinsError
from stins.control import FrameDescription, NumbersRequest

from .at_prompt import AtPrompt
from .configuration import Configuration
from .controller import Controller, deadlines_of
from .documents import image_keys
from .frame_source import FrameSource
from .naming import named
from .numbers import FrameNumbers
from .paths import PathProvider, path_provider_of, relative_name
from .preparing import Preparation
from .settings import ChoiceSignal, CountSignal, OwnSignal, SettingSignal
from .staging import Staging, Step
from .status import ProgressStatus, Worker
from .streams import StreamDocuments, StreamKey
from .trigger_info import DetectorTrigger
from .triggering import Triggering
from .unstaging import end_staging

__all__ = ["StinsDetector"]

log = logging.getLogger(__name__)


class StinsDetector(AtPrompt, Device):
    """One acquirer and its recorder, or several that share each series, as a detector for the RunEngine.

    `numbers` are what the recorder computes of each frame beside the recording: further streams in the file, and values
    of each point (of its last frame).

    Each staging has one file, named by `path_provider`. In step mode the first trigger arms the detector and each
    trigger takes `frames` frames; `prepare` arms a series that runs by itself between kickoff and complete. A Status
    is done only when the recorder has flushed exactly the frames that were asked for.

    One staging is one file, one run and one stream: a second run or stream (dark frames, say) needs a staging of its
    own, and is refused by name once the first one has frames.
    """

    #: Of the acquirers that this class is made for; the deadlines of a controller of its own are theirs.
    backend = ""
    #: What is set for each trigger that `prepare` is asked for.
    triggering = Triggering(
        cables={
            DetectorTrigger.EXTERNAL_EDGE: {"cable_mode": "edge"},
            DetectorTrigger.EXTERNAL_LEVEL: {"cable_mode": "level"},
        }
    )

    frames = Cpt(CountSignal, value=1, kind=Kind.config, doc="frames per point")
    trigger_mode = Cpt(
        ChoiceSignal,
        choices=[trigger.value for trigger in DetectorTrigger],
        value="software",
        kind=Kind.config,
        doc="of the present series; set by prepare",
    )
    recorded = Cpt(
        OwnSignal, value=True, kind=Kind.config, doc="false: the next staging is for looking at, without a file"
    )
    events_to_kickoff = Cpt(OwnSignal, value=0, kind=Kind.omitted, doc="of the next prepare; 0: all at once")
    exposure_s = Cpt(SettingSignal, value=math.nan, kind=Kind.config)
    period_s = Cpt(SettingSignal, value=math.nan, kind=Kind.config)
    incident_energy = Cpt(SettingSignal, value=math.nan, kind=Kind.config)
    total = Cpt(OwnSignal, value=math.nan, kind=Kind.hinted, doc="sum of the point's last frame, without masked pixels")
    maximum = Cpt(
        OwnSignal, value=math.nan, kind=Kind.hinted, doc="highest pixel of the point's last frame that is not masked"
    )

    def __init__(
        self,
        prefix: str = "",
        *,
        name: str,
        controller: Controller | None = None,
        acquirer_url: str = "",
        recorder_url: str | Sequence[str] = "",
        path_provider: PathProvider | None = None,
        numbers: NumbersRequest | Sequence[str] | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(prefix, name=name, **keywords)
        self.controller = controller or Controller(acquirer_url, recorder_url, deadlines=deadlines_of(self.backend))
        self.path_provider = path_provider
        self.numbers = FrameNumbers(self, numbers)
        self._worker = self._new_worker()
        self._staging: Staging | None = None
        self._stream = StreamDocuments()
        self._published = 0
        self._flight_described = False
        self._paused = False
        self._refusal = ""
        self._recorded = True
        self._source = FrameSource(self.name, self.controller)
        self._configuration = Configuration(self, self.controller)
        self._preparation = Preparation(self.name, self._configuration, self.triggering)

    @property
    def image_key(self) -> str:
        """The data key of the image."""
        return f"{self.name}_image"

    @property
    def path_provider(self) -> PathProvider:
        """What names the file of each staging; None, when it is set, is the default.

        Raises:
            TypeError: what is set cannot be one; what was set before stays.
        """
        return self._path_provider

    @path_provider.setter
    def path_provider(self, provider: PathProvider | None) -> None:
        try:
            self._path_provider = path_provider_of(provider)
        except TypeError as error:
            raise TypeError(f"{self.name}: path_provider: {error}") from None

    # -- staging --------------------------------------------------------------------------------

    def stage(self) -> list[object]:
        """Checks that both processes are there and idle (a FAULT is reset), and names the file."""
        if self._staging is None:
            with named(self.name, "stage"):
                self.controller.make_ready()
                self._configuration.ask()
        staged: list[object] = super().stage()
        try:
            self._begin()
        except Exception:
            super().unstage()
            raise
        return staged

    def _begin(self) -> None:
        # Asked now, a name that cannot be fails before a run is open; some are only known in the run.
        name = None if getattr(self.path_provider, "per_run", False) else self._name_file("stage")
        if (acquirer := self._configuration.acquirer) is not None and acquirer.frame is not None:
            self.numbers.of(acquirer.frame)
        # As it is now: what is put back while the series is being armed gives it no file.
        recorded = self._recorded = bool(self.recorded.get())
        name_file = lambda: (name or self._name_file("arm")) if recorded else None  # noqa: E731
        self._staging = Staging(self.controller, name_file, lambda: self.numbers.of(self._frame()))
        self._worker.settle()
        self._worker = self._new_worker()
        self._stream = StreamDocuments()
        self._flight_described = False
        self._published, self._paused, self._refusal = 0, False, ""
        self._show("software")

    def unstage(self) -> list[object]:
        """Ends the series and waits until its file is closed: aborted if something was under way, or paused.

        The next one is recorded again, whatever this one was.
        """
        staging, self._staging = self._staging, None
        self.events_to_kickoff.put(0)
        self._worker.abandon()
        try:
            if staging is not None:
                end_staging(self.name, staging, self._worker, paused=self._paused)
        finally:
            # After the series has ended: the settings that are put back here can't be changed while armed.
            unstaged: list[object] = super().unstage()
            # Whatever ended the plan that did not want a file: the next one would be a success without one.
            self.recorded.put(True)
            self._configuration.put_back()
        return unstaged

    def stop(self, success: bool = False) -> None:
        """Ends the series, and whatever waits for it; the file is closed."""
        if (staging := self._staging) is not None:
            staging.end(aborted=not success or self._worker.busy, why="stopped")
            self._worker.join()

    def pause(self) -> None:
        """A point is taken again after a pause, so nothing happens here; a fly series cannot go on, it is aborted.

        One that was prepared and not kicked off yet stays so, unless pulses could take frames of it meanwhile.
        """
        self._paused = True
        staging = self._staging
        if staging is not None and staging.flies:
            staging.fail(StinsError("paused in the middle of a fly series, which cannot be resumed"))

    def resume(self) -> None:
        """After a pause. A fly series that it aborted is refused from now on, whatever the plan does."""
        self._paused = False
        if self._staging is not None and self._staging.step is Step.ENDED:
            self._refusal = self._staging.why

    # -- step by step ---------------------------------------------------------------------------

    def trigger(self) -> ProgressStatus:
        """Takes one point; a point that was taken but never read (a paused scan) is taken again."""
        staging = self._required("trigger")
        frames, event = self._frames_per_point(), self._stream.emitted
        # From here, for the detector is to expose while a thread starts, and Python lets another run.
        begun = None if self._worker.busy else staging.begin(event, frames)
        if begun is None:
            self.numbers.follow(self._frame())  # a source without images is refused before anything is armed

        def work(status: Callable[[], ProgressStatus]) -> None:
            # Asked again: what was prepared may have been under way.
            taken = staging.take(event, self._frames_per_point(), lambda done: status().progress(done), begun)
            preview = taken.preview
            self._configuration.ask_if_changed()
            self.total.put(preview.total if preview else math.nan)
            self.maximum.put(preview.maximum if preview else math.nan)
            self.numbers.show(taken.numbers)
            self._show("software")
            self._published = event + 1

        def dropped(error: Exception) -> None:
            if begun is not None:
                staging.drop(begun, error)

        make = lambda: ProgressStatus(self, target=frames, what="trigger")  # noqa: E731
        try:
            status: ProgressStatus = self._worker.run_at_once(make, work, dropped)
        except BaseException as error:
            # The detector may be exposing, and nobody can wait for it: at a prompt, not after a Ctrl-C either.
            staging.fail(error)
            raise
        return status

    def read(self) -> dict[str, Any]:
        """The point's numbers."""
        if self._staging is not None and self._worker.busy:
            raise StinsError(
                f"{self.name}: read: its point is still being taken, expected it to be over: the plan did not wait for "
                "its trigger. After a suspended run that was ended bluesky does not rewind: RE.rewindable = True"
            )
        return {**super().read(), **self.numbers.read()}

    # -- flying ---------------------------------------------------------------------------------

    def prepare(self, value: object) -> ProgressStatus:
        """Arms a series that runs by itself: of so many frames, or as a TriggerInfo says, also ophyd-async's own.

        With software trigger it sets the times and stays in step mode; after a series of one event a trigger may come
        as well as a kickoff. What this detector cannot do is refused by name.
        """
        staging = self._required("prepare")
        info = self._preparation.asked(value, self.events_to_kickoff.get())
        self._frame()
        if not staging.is_prepared(info):
            staging.check("prepare", Step.STAGED)
        changes = self._preparation.settings_for(info)
        status = ProgressStatus(self, target=1, what="prepare")

        def work() -> None:
            if staging.is_prepared(info):
                return
            self._preparation.prepare(staging, info, changes)
            self._show(info.trigger.value)

        self._worker.run(status, work)
        return status

    def kickoff(self) -> ProgressStatus:
        """Starts the prepared series, or takes the next of its events where it has several kickoffs."""
        staging = self._required("kickoff")
        if not self._worker.busy:  # else it is looked at once that is over
            staging.check("kickoff", Step.PREPARED)
        self._preparation.check_kickoff(staging, self.events_to_kickoff)
        status = ProgressStatus(self, target=1, what="kickoff")
        self._worker.run(status, staging.start)
        return status

    def complete(self) -> ProgressStatus:
        """Done when every frame of this kickoff is in the file; with the last one, the file is closed and complete."""
        staging = self._required("complete")
        if not self._worker.busy:  # as above
            staging.check("complete", Step.FLYING)
        status = ProgressStatus(self, target=staging.frames, what="complete")
        self._worker.run(status, lambda: staging.finish(status.progress))
        return status

    # -- documents ------------------------------------------------------------------------------

    def get_index(self) -> int:
        """How many events are flushed."""
        staging = self._staging
        return staging.events if staging is not None and staging.flown else self._published

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, Any]]:
        """Says where the events up to `index` are that were not told yet."""
        staging = self._required("collect")
        ready = self.get_index()
        if staging.account is not None:
            upto = ready if index is None else min(index, ready)
            keys = () if self._stream.begun else self._keys()
            yield from self._stream.documents(keys, staging.account, upto)

    def describe(self) -> dict[str, Any]:
        """The point's numbers and its image. The RunEngine asks once in each stream."""
        if self._staging is not None and self._stream.emitted:
            # The rows of the file are counted in one stream; a second one would silently get the wrong frames.
            raise StinsError(
                f"{self.name}: describe: got a second run or stream after {self._stream.emitted} events, expected one "
                "stream in each staging; unstage and stage in between"
            )
        self._flight_described = False
        self._warn_of_no_file()
        self.numbers.follow(self._frame())
        return {**super().describe(), **self.numbers.describe(), **self._describe_keys()}

    def describe_collect(self) -> dict[str, Any]:
        """The image of one event, or the images, where each frame has several."""
        self._flight_described = True
        self._warn_of_no_file()
        return self._describe_keys()

    def _warn_of_no_file(self) -> None:
        if self._staging is not None and not self._recorded:
            log.warning("%s: these events have no images: %s was False at stage", self.name, self.recorded.name)

    def _describe_keys(self) -> dict[str, Any]:
        return {key.name: dict(key.data_key) for key in self._keys()}

    @property
    def hints(self) -> dict[str, Any]:
        """The point's numbers; none for a series that is flown, whose stream does not have them."""
        hints: dict[str, Any] = super().hints
        staging = self._staging
        # Of a series of one event only the way it is described says which of the two it will be.
        if staging is not None and (staging.flown or (self._flight_described and staging.step is Step.PREPARED)):
            return {"fields": []}
        # The same twice would only widen the table.
        doubled = {f"{self.name}_sum": self.total.name, f"{self.name}_max": self.maximum.name}
        return {**hints, "fields": self.numbers.fields_beside(hints.get("fields", []), doubled)}

    # -- configuration --------------------------------------------------------------------------

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Sets some of the acquirer's settings, all or none.

        Raises:
            StinsError: it refuses one, or does not answer; the text names detector, settings and values.
        """
        self._configuration.apply(changes)

    def configure(self, d: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Sets signals by attribute, and any setting of the acquirer by name; returns what was and what is."""
        settings = self._configuration.settings_among(d)
        old = self.read_configuration()
        if settings:
            self.apply(settings)
        super().configure({name: value for name, value in d.items() if name not in settings})
        return old, self.read_configuration()

    def read_configuration(self) -> dict[str, Any]:
        """The signals, and whatever else the acquirer has set."""
        own: dict[str, Any] = super().read_configuration()
        return own | self._configuration.read()

    def describe_configuration(self) -> dict[str, Any]:
        """What `read_configuration` reads, with units."""
        own: dict[str, Any] = super().describe_configuration()
        return own | self._configuration.describe(self._source.name)

    def destroy(self) -> None:
        """Lets the controller go."""
        self._worker.settle()
        self.controller.close()
        super().destroy()

    # -- helpers --------------------------------------------------------------------------------

    def _required(self, what: str) -> Staging:
        if self._refusal:
            raise StinsError(f"{self.name}: {what}: {self._refusal}; abort this run and start it again")
        if self._staging is None:
            raise StinsError(
                f"{self.name}: {what}: not staged; stage it first (bluesky's plans do, but not its fly: use fly_series)"
            )
        return self._staging

    def _name_file(self, step: str) -> str:
        recorder = self.controller.snapshot.recorder
        try:
            return relative_name(self.path_provider(self.image_key), recorder.roots if recorder else ())
        except StinsError as error:
            raise StinsError(f"{self.name}: {step}: {error}") from None

    def _new_worker(self) -> Worker:
        return Worker(f"{self.name}-worker", self.controller.deadlines.over_s)

    def _show(self, trigger_mode: str) -> None:
        if self.trigger_mode.get() != trigger_mode:
            self.trigger_mode.put(trigger_mode)

    def _frames_per_point(self) -> int:
        planned = self._staging.planned if self._staging is not None else None
        return (planned.frames_per_point if planned is not None else 0) or int(self.frames.get())

    def _keys(self) -> list[StreamKey]:
        staging = self._staging
        if not (self.recorded.get() if staging is None else self._recorded):
            return []
        flown = staging is not None and staging.flown
        frames = staging.frames_per_event if staging is not None and flown else self._frames_per_point()
        source, frame = self._source.name, self._frame()
        return [*image_keys(self.name, source, frame, frames), *self.numbers.keys(source, frame, frames)]

    def _frame(self) -> FrameDescription:
        staging = self._staging
        return self._source.frame(midway=staging is not None and staging.account is not None)
