"""The sender's machine piped into the receiver's, over a line that loses, repeats and reorders messages."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from stins import (
    Data,
    Decoder,
    EndSeries,
    MessageError,
    OpenSeries,
    Outcome,
    ReorderWindow,
    SeriesHeader,
    SeriesInfo,
    SeriesReceiver,
    SeriesResult,
    SeriesSender,
    StoreFrame,
    encode,
)

WINDOW = 8
#: What becomes of a message on the line: most come, some are lost, come twice, come broken, or later than others.
FATES = st.sampled_from(["comes"] * 8 + ["lost", "twice", "broken", "delayed"])
#: What the sender does: mostly frames, some dropped, discarded, without room, or taken again.
ACTS = st.sampled_from(["frame"] * 8 + ["drop", "discard", "no room", "retake"])


@dataclass
class File:
    """A model of what a recorder stores: the message of each row."""

    rows: dict[int, int] = field(default_factory=dict)
    times_stored: dict[int, int] = field(default_factory=dict)
    result: SeriesResult | None = None

    def execute(self, instructions: list[object]) -> None:
        for instruction in instructions:
            if isinstance(instruction, OpenSeries):
                self.rows.clear()
            elif isinstance(instruction, StoreFrame):
                number = instruction.header.message_id
                self.rows[instruction.row] = number
                self.times_stored[number] = self.times_stored.get(number, 0) + 1
            elif isinstance(instruction, EndSeries):
                self.result = instruction.result


def send(acts: list[str], series_id: str = "a", sender: SeriesSender | None = None) -> list[object]:
    """The messages of one series; frames count on, a retake goes back by up to three."""
    sender = sender or SeriesSender()
    messages: list[object] = [sender.start(SeriesHeader(series=SeriesInfo(id=series_id)))]
    frame = 0
    for act in acts:
        if act == "retake" and frame:
            frame = max(0, frame - 3)
            messages.append(sender.data(frame, retake=True))
        elif act == "drop":
            sender.drop(frame, frame)
        elif act == "no room":
            sender.unsend(sender.data(frame))
        elif act == "discard":
            messages.append(sender.data(frame, discard=True))
        else:
            messages.append(sender.data(frame))
        frame += 1
    messages.append(sender.end())
    return messages


def line(messages: list[object], fates: list[str]) -> list[list[bytes]]:
    """What arrives: a delayed message comes after the next three. The first message always comes."""
    arrivals: list[tuple[float, bytes]] = []
    for place, (message, fate) in enumerate(zip(messages, ["comes", *fates], strict=False)):
        raw = encode(message)
        if fate == "broken":
            raw = raw.replace(b'"version":1', b'"version":2')
        if fate != "lost":
            arrivals.append((place + (3.5 if fate == "delayed" else 0), raw))
        if fate == "twice":
            arrivals.append((place + 1.5, raw))
    return [[raw] for _, raw in sorted(arrivals)]


def receive(arrivals: list[list[bytes]], window: ReorderWindow | None = None) -> File:
    decoder, file = Decoder(strict=True), File()
    receiver = SeriesReceiver(window=ReorderWindow(count=WINDOW) if window is None else window)
    for parts in arrivals:
        try:
            file.execute(receiver.receive(decoder.decode(parts), now=0.0))
        except MessageError as error:
            file.execute(receiver.refuse(error.message_id, str(error), now=0.0))
    file.execute(receiver.sender_gone("the sender is gone"))
    return file


def final_takes(messages: list[object]) -> dict[int, Data]:
    """The last message of each frame number: what a perfect recorder ends with."""
    takes: dict[int, Data] = {}
    for message in messages:
        if isinstance(message, Data):
            if message.retake:
                takes = {frame: take for frame, take in takes.items() if frame < message.frame_number}
            takes[message.frame_number] = message
    return takes


LENGTH = 30


@given(st.lists(ACTS, max_size=LENGTH), st.lists(FATES, min_size=LENGTH + 2, max_size=LENGTH + 2))
def test_the_account_always_adds_up_and_nothing_is_stored_twice(acts, fates):
    result, times_stored = (file := receive(line(send(acts), fates))).result, file.times_stored

    assert result.received == result.stored + result.discarded + result.retaken
    assert set(times_stored.values()) <= {1}
    # Each frame that is stored or missing has a row; a discarded one has one only if it came late.
    assert 0 <= result.rows - result.stored - result.missing_count <= result.discarded
    assert result.stored <= len(file.rows)


@given(st.lists(ACTS, max_size=LENGTH), st.lists(FATES, min_size=LENGTH + 2, max_size=LENGTH + 2))
def test_a_series_that_is_called_complete_has_every_frames_last_take_in_its_row(acts, fates):
    messages = send(acts)
    file = receive(line(messages, fates))

    if file.result.outcome is Outcome.COMPLETE:
        takes = final_takes(messages)
        recorded = [take.message_id for frame, take in sorted(takes.items()) if not take.discard]
        assert [file.rows[row] for row in range(file.result.rows)] == recorded
        assert len(takes) == file.result.stored + file.result.discarded


@given(
    st.lists(ACTS.filter(lambda act: act != "retake"), max_size=LENGTH),
    st.lists(FATES.filter(lambda fate: fate != "broken"), min_size=LENGTH + 2, max_size=LENGTH + 2),
)
def test_without_retakes_exactly_the_frames_that_did_not_come_are_missing(acts, fates):
    messages = send(acts)
    arrivals = line(messages, fates)
    there = [message for message in messages if isinstance(message, Data) and [encode(message)] in arrivals]
    result = receive(arrivals).result

    came = {message.frame_number for message in there}
    absent = [frame for frame in range(len(acts)) if frame not in came]
    if result.end is not None:
        assert (result.outcome is Outcome.COMPLETE) == (not absent)
        assert result.stored + result.discarded == len(came)
        known = len(acts) if "drop" not in acts and "no room" not in acts else max(came, default=-1)
        # Behind the last frame that came nobody knows of drops whose declaration was lost as well.
        assert [f for f in absent if f <= known] == [
            f for a, b in result.missing for f in range(a, b + 1) if f <= known
        ]


@given(
    st.lists(ACTS, max_size=LENGTH),
    st.lists(st.sampled_from(["comes", "twice", "delayed"]), min_size=LENGTH + 2, max_size=LENGTH + 2),
)
def test_disorder_within_the_window_does_not_show(acts, fates):
    messages = send(acts)
    file, straight = receive(line(messages, fates)), receive([[encode(message)] for message in messages])

    assert file.rows == straight.rows
    assert (file.result.reasons, file.result.missing) == (straight.result.reasons, straight.result.missing)


@given(st.lists(ACTS, max_size=LENGTH), st.lists(ACTS, max_size=LENGTH))
def test_a_perfect_line_gives_each_series_every_frame_that_was_sent(acts, more):
    sender = SeriesSender()
    for series_id, series_acts in (("a", acts), ("b", more)):
        messages = send(series_acts, series_id, sender)
        result = receive([[encode(message)] for message in messages]).result

        takes = final_takes(messages)
        assert result.stored + result.discarded == len(takes)
        assert result.received == sum(isinstance(message, Data) for message in messages)
        assert (result.outcome is Outcome.COMPLETE) == (not result.missing)


@given(
    st.lists(ACTS, min_size=3, max_size=LENGTH),
    st.lists(FATES, min_size=LENGTH + 2, max_size=LENGTH + 2),
    st.integers(1, 5),
)
def test_a_window_that_is_too_small_loses_order_but_never_the_account(acts, fates, count):
    file = receive(line(send(acts), fates), ReorderWindow(count=count))

    if file.result is not None:
        assert file.result.received == file.result.stored + file.result.discarded + file.result.retaken
        assert set(file.times_stored.values()) <= {1}
