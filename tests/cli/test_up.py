"""`stins up` and `stins status` on real processes."""

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from stins import StinsError
from stins.control import AcquirerState, AcquirerStatus
from stins.daemon import ConfigError
from stins.daemon.client import DaemonClient
from stins_ophyd import ProcessError, find_detector
from stins_ophyd.beamline import Beamline, load_beamline
from stins_ophyd.beamline.config import BeamlineConfig
from stins_ophyd.beamline.refusals import further_refusals
from stins_ophyd.cli.up import _changes, _watched
from stins_ophyd.controller import CombinedState, Snapshot


def test_a_beamline_comes_up_is_seen_by_status_and_ends_on_ctrl_c(start, stins, beamline_file):
    up = start("up", beamline_file)
    up.line("sim: acquirer http://127.0.0.1:", "recorder http://127.0.0.1:")
    up.line("up;")
    done = stins("status", "--json")
    assert done.returncode == 0
    rows = json.loads(done.stdout.splitlines()[-1])["processes"]
    assert [(row["detector"], row["process"], row["state"]) for row in rows] == [
        ("sim", "acquirer", "idle"),
        ("sim", "recorder", "idle"),
    ]
    assert "IDLE" in stins("status", beamline_file).stdout
    children = psutil.Process(up.process.pid).children(recursive=True)
    assert up.end(signal.SIGINT) == 0
    assert not [child for child in children if child.is_running()]
    assert stins("status").returncode == 2


def shown_within(look, wanted, deadline_s=30.0):
    """Two threads of `stins up` print its lines: what a status shows may come a moment later."""
    deadline = time.monotonic() + deadline_s
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"got {seen}, expected {wanted}"
        time.sleep(0.1)


@contextmanager
def acquirer_at(url):
    client = DaemonClient("acquirer", url, AcquirerStatus)
    yield client
    client.close()


def test_each_change_of_state_is_a_line(shared_up):
    with acquirer_at(shared_up.url) as client:
        client.post("/arm", {"series_id": "s", "filename": "f.nxs", "triggers": None, "trigger_mode": "software"})
        shared_up.running.line("sim: ARMED")
        client.post("/disarm")
        shared_up.running.line("sim: IDLE")


def test_a_detector_that_is_found_has_the_numbers_of_the_beamline_file(shared_up, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(shared_up.state))
    detector = find_detector("test", "sim")
    others = find_detector("test", "sim", numbers=["mean"])
    try:
        assert [*detector.read()] == ["sim_total", "sim_maximum", "sim_sum", "sim_spot_sum"]
        assert [*others.read()] == ["sim_total", "sim_maximum", "sim_mean"]
        with pytest.raises(StinsError, match="region spot: got rows 0 to 3, columns 40 to 48, expected pixels of"):
            detector.stage()
    finally:
        detector.destroy()
        others.destroy()


def test_a_scan_is_no_two_lines_for_each_point(capsys):
    changed = _changes("sim")
    states = "idle armed acquiring armed acquiring armed finishing idle armed acquiring offline armed"
    for state in states.split():
        changed(Snapshot(state=CombinedState(state)))
    said = [line.rpartition(" ")[2].lower() for line in capsys.readouterr().out.splitlines()]
    assert " ".join(said) == "idle armed acquiring finishing idle armed acquiring offline armed"


def settle(up, url):
    """Takes no frame, and waits until nothing waits for its ack."""
    settled = threading.Event()
    with acquirer_at(url) as client:
        client.post("/arm", {"series_id": "s", "triggers": None, "trigger_mode": "software"})
        up.line("sim: ARMED")
        client.post("/disarm")
        up.line("sim: IDLE")
        watch = client.watch(lambda status: None if status.unacked else settled.set(), lambda _: None)
        assert settled.wait(30)
        watch.close()


def test_status_says_of_the_acquirer_how_much_it_has_sent(shared_up, status_of):
    settle(shared_up.running, shared_up.url)
    assert "0 sent" in [row["frames"] for row in status_of(state=shared_up.state)[1]]


def test_status_says_that_replay_is_off_where_the_recorder_does_not_ack(start, status_of, beamline_file):
    beamline_file.write_text(f"{beamline_file.read_text()}    recorder: {{acks: []}}\n")
    up = start("up", beamline_file)
    settle(up, up.line("sim: acquirer").split("acquirer ")[1].split(",")[0])
    assert "0 sent, replay off" in [row["frames"] for row in status_of()[1]]


@pytest.mark.parametrize("kind", ["acquirer", "recorder"])
def test_a_process_that_dies_is_started_again_at_its_address(shared_up, status_of, kind):
    before = {row["process"]: row for row in status_of(state=shared_up.state)[1]}
    psutil.Process(before[kind]["status"]["pid"]).kill()
    shared_up.running.lines(("ended by SIGKILL",), ("sim: IDLE",))
    after = {}

    def again():
        after.update({row["process"]: row for row in status_of(state=shared_up.state)[1]})
        boots = [(rows[kind]["status"] or {}).get("boot_id") for rows in (before, after)]
        return after[kind]["state"], boots[0] != boots[1]

    shown_within(again, ("idle", True))
    assert after[kind]["address"] == before[kind]["address"]


def test_recorders_that_share_a_detector_are_shown_by_their_share_and_are_one_for_the_state(
    start, status_of, beamline_file
):
    beamline_file.write_text(f"{beamline_file.read_text()}    recorders: 2\n")
    up = start("up", beamline_file)
    up.line("sim: acquirer http://", "recorder 0 http://", "recorder 1 http://")
    up.lines(("up;",), ("sim: IDLE",))
    before = {row["process"]: row for row in status_of()[1]}
    assert list(before) == ["acquirer", "recorder 0", "recorder 1"]
    psutil.Process(before["recorder 1"]["status"]["pid"]).kill()
    up.lines(("recorder 'sim-recorder-1'", "ended by SIGKILL"), ("sim: IDLE",))
    client = DaemonClient("acquirer", before["acquirer"]["address"], AcquirerStatus)
    client.post("/arm", {"series_id": "s", "filename": "f.nxs", "triggers": None, "trigger_mode": "software"})
    up.line("sim: ARMED")
    client.post("/disarm")
    up.line("sim: IDLE")
    client.close()
    shown_within(lambda: [Path(row["file"]).name for row in status_of()[1]], ["", "f_part0.nxs", "f_part1.nxs"])


def test_status_shows_a_stopped_process_as_offline(shared_up, status_of):
    acquirer = psutil.Process(status_of(state=shared_up.state)[1][0]["status"]["pid"])
    acquirer.suspend()
    try:
        code, rows = status_of(state=shared_up.state)
    finally:
        acquirer.resume()
    assert code == 1
    assert rows[0]["state"] == "offline"
    assert "no answer within 2 s" in rows[0]["reason"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("detectors: {}", "detectors: got {}"),
        ("detector: 3", "detector: unknown field; allowed: data, detectors, name"),
        (
            "detectors: {sim: {acquirer: {backend: simulated}, recorderz: 2}}",
            "detectors.sim.recorderz: unknown field; allowed: acquirer, numbers, recorder, recorders, simulator",
        ),
        ("detectors: {a/b: {acquirer: {backend: simulated}}}", "detectors.a/b.[key]: got 'a/b'"),
        ("name: 7x\ndetectors: {sim: {acquirer: {backend: simulated}}}", "name: got '7x'"),
        ("detectors: [", "not YAML"),
        (
            "detectors: {sim: {acquirer: {backend: simulated}, recorders: 0}}",
            "detectors.sim.recorders: got 0: expected at least 1",
        ),
    ],
)
def test_a_wrong_beamline_file_names_field_value_and_what_is_allowed(tmp_path, text, said):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_beamline(path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("acquirer", "recorder", "said"),
    [
        ("{backend: simulatd}", "{}", "no acquirer backend 'simulatd'; installed: "),
        ("{backend: simulated, settings: {periods: 1}}", "{}", "periods: unknown field; allowed:"),
        ("{backend: simulated}", "{roots: [/proc/none]}", "roots: /proc/none cannot be made"),
    ],
)
def test_what_a_process_refuses_of_its_part_is_said_of_its_detector(tmp_path, acquirer, recorder, said):
    path = tmp_path / "wrong.yaml"
    path.write_text(f"detectors: {{sim: {{acquirer: {acquirer}, recorder: {recorder}}}}}")
    with pytest.raises(ProcessError) as refused:
        Beamline(load_beamline(path)).start()
    assert "detectors.sim." in str(refused.value)
    assert said in str(refused.value)


def test_what_a_process_refuses_of_its_part_is_said_by_up(stins, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("detectors: {sim: {acquirer: {backend: simulated}, recorder: {flush_interval_s: no}}}")
    done = stins("up", path)
    assert done.returncode == 2
    assert "detectors.sim." in done.stderr
    assert "flush_interval_s: got " in done.stderr
    assert "Traceback" not in done.stderr


def test_all_that_processes_would_refuse_is_said_at_once(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "detectors:\n"
        "  one: {acquirer: {backend: simulated, settings: {periods: 1, shape: 3}}, recorder: {flush_interval_s: no}}\n"
        "  two: {acquirer: {backend: simulatd}, recorders: [{}, {budget_byte: 1}]}\n"
    )
    with pytest.raises(ProcessError) as error:
        Beamline(load_beamline(path)).start()
    first, _, others = str(error.value).partition("\nrefused as well:\n")
    assert first.startswith("detectors.one.acquirer: ")
    assert "periods: unknown field" in first
    assert "shape: got 3" in first
    for line, begin in zip(
        others.splitlines(),
        (
            "  detectors.one.recorder: flush_interval_s: got False",
            "  detectors.two.acquirer: no acquirer backend 'simulatd'; installed: ",
            "  detectors.two.recorder: budget_byte: unknown field; allowed: ",
        ),
        strict=True,
    ):
        assert line.startswith(begin)


def test_each_thing_that_is_wrong_with_numbers_has_a_line(tmp_path):
    path = tmp_path / "wrong.yaml"
    region = "{name: '1', row: -1, column: 0, rows: 2, columns: 2}"
    numbers = f"{{keys: [sum, sum], regions: [{region}, {region}]}}"
    path.write_text(f"name: 7x\ndetectors: {{sim: {{acquirer: {{backend: simulated}}, numbers: {numbers}}}}}")
    with pytest.raises(ConfigError) as error:
        load_beamline(path)
    _, name, *lines = str(error.value).splitlines()
    assert name.startswith("  name: got '7x'")
    assert lines == [
        f"  detectors.sim.numbers: {problem}"
        for problem in (
            "got keys ['sum', 'sum'], expected each once",
            "got regions ['1', '1'], expected a name of its own for each",
            "got a region called '1', expected letters, digits and _, a letter first",
            "region 1: got 2 x 2 pixels from (-1, 0) on, expected pixels of the frame, one at least",
        )
    ]


def test_what_is_wrong_with_simulated_detectors_is_said_beside_what_another_refuses(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "detectors:\n"
        "  one: {acquirer: {backend: simulatd}}\n"
        "  two: {simulator: {kind: eigr}, acquirer: {backend: eiger}}\n"
        "  three: {simulator: {kind: eiger}, acquirer: {backend: eiger, settings: 3}}\n"
        "  four: {simulator: {kind: eiger}, acquirer: {backend: eiger, settings: {exposure: 1}}}\n"
        "  five: {simulator: {kind: pilatus}, acquirer: {backend: pilatus}}\n"
    )
    with pytest.raises(ProcessError, match=r"^detectors\.one\.acquirer: ") as error:
        Beamline(load_beamline(path)).start()
    two, three, four = str(error.value).partition("\nrefused as well:\n")[2].splitlines()
    assert two == "  detectors.two.simulator.kind: got 'eigr', expected one of eiger, pilatus"
    assert three == "  detectors.three.acquirer.settings: got 3, expected names and values"
    assert four.startswith("  detectors.four.acquirer: settings.exposure: unknown field; allowed: ")


def test_what_cannot_be_asked_hides_no_refusal_and_the_number_of_recorders_is_asked_as_well():
    unwritable = {"name": object()}  # YAML has nothing for it
    detectors = {
        "one": {"acquirer": {"backend": "simulatd"}},
        "two": {"acquirer": unwritable, "recorder": unwritable},
        "three": {"acquirer": {"stream": {"recorders": 3}}, "recorders": 2, "recorder": unwritable},
    }
    refused = further_refusals(BeamlineConfig(detectors=detectors), ["one"], ProcessError("detectors.one: no"))
    assert refused == [
        "detectors.three: got 2 recorders, and 3 in acquirer.stream.recorders; leave the latter out",
    ]


def test_a_process_that_crashes_has_the_others_asked_for_nothing(tmp_path, monkeypatch):
    """As what a vendor's library does."""
    info = tmp_path / "facility_crash-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: facility-crash\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stins.acquirers]\ncrash = facility_crash:Camera\n")
    (tmp_path / "facility_crash.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    path = tmp_path / "crash.yaml"
    path.write_text("detectors: {one: {acquirer: {backend: crash}}, two: {acquirer: {backend: simulatd}}}")
    with pytest.raises(ProcessError, match="ended with status 3") as error:
        Beamline(load_beamline(path)).start()
    assert "refused as well" not in str(error.value)


def test_a_missing_beamline_file_is_named(stins, tmp_path):
    done = stins("up", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert "none.yaml: cannot be read: No such file" in done.stderr


def test_a_beamline_is_up_once_and_a_killed_one_leaves_no_process_and_no_ghost(start, stins, beamline_file):
    up = start("up", beamline_file)
    up.line("up;")
    again = stins("up", beamline_file)
    assert again.returncode == 2
    assert f"the beamline 'test' is up already (process {up.process.pid} on " in again.stderr
    assert stins("status", "test").returncode == 0
    children = psutil.Process(up.process.pid).children(recursive=True)
    assert len(children) in (3, 4)  # acquirer, recorder, its writer and the one in waiting
    up.process.kill()
    _, alive = psutil.wait_procs(children, 30)
    assert alive == []
    up.process.wait()
    assert "no beamline 'test' runs here (running: none)" in stins("status", "test").stderr


def acquirer_of(up, detector):
    """The process of its acquirer, found without a status command, which takes a second."""
    for process in psutil.Process(up.process.pid).children():
        command = process.cmdline()
        if "acquirer" in command and any(Path(word).name == f"{detector}.yaml" for word in command):
            return process
    raise AssertionError(f"{detector} has no acquirer")


def test_a_detector_that_ends_again_and_again_is_given_up_and_the_others_go_on(start, status_of, tmp_path):
    good = "{acquirer: {backend: simulated, settings: {shape: [16, 16]}}}"
    path = tmp_path / "two.yaml"
    path.write_text(f"name: two\ndetectors: {{good: {good}, bad: {good}}}")
    up = start("up", path)
    up.line("up;")
    for count in range(1, 6):
        acquirer_of(up, "bad").kill()
        up.line(f"({count} of 5 times")
    up.line("bad: its processes end again and again; giving it up")
    states = {(row["detector"], row["process"]): row["state"] for row in status_of("two")[1]}
    assert states["good", "acquirer"] == states["good", "recorder"] == "idle"
    assert states["bad", "acquirer"] == states["bad", "recorder"] == "offline"
    assert up.end() == 1


def test_a_stream_that_is_no_mapping_is_refused_by_its_acquirer_also_with_several_recorders(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text("detectors: {sim: {acquirer: {backend: simulated, stream: 3}, recorders: 2}}")
    with pytest.raises(ProcessError, match=r"detectors\.sim\.acquirer: (.|\n)*stream: got 3"):
        Beamline(load_beamline(path)).start()


def test_two_numbers_of_recorders_that_differ_are_refused_by_name(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text("detectors: {sim: {acquirer: {backend: simulated, stream: {recorders: 3}}, recorders: 2}}")
    with pytest.raises(ConfigError, match=r"detectors\.sim: got 2 recorders, and 3 in acquirer\.stream\.recorders"):
        Beamline(load_beamline(path)).start()


class Ending:
    """A controller whose acquirer keeps what nobody has acked."""

    def __init__(self, unacked):
        status = AcquirerStatus(
            name="a", backend="simulated", state=AcquirerState.IDLE, boot_id="b", pid=1, unacked=unacked
        )
        self.snapshot = Snapshot(state=CombinedState.IDLE, acquirer=status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def subscribe(self, callback):
        pass


@pytest.mark.parametrize("unacked", [0, 303])
def test_what_will_be_lost_with_the_end_is_told_before_it(unacked, capsys):
    with _watched("det", Ending(unacked)):
        assert capsys.readouterr().out == ""
    assert ("303 messages are not acked by a recorder" in capsys.readouterr().out) == bool(unacked)
