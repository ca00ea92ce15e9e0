"""The documentation's examples run, its links lead somewhere, its files load."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent

import pytest
from stins_acquirers.config import AcquirerConfig
from stins_recorder.config import RecorderConfig

from stins.daemon import load_config
from stins_ophyd.beamline import BeamlineConfig, load_beamline

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name / "README.md" for name in (".", "recorder", "acquirers")),
]


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for of, text in found if of == language]


@pytest.fixture
def user_folder(tmp_path: Path) -> Path:
    """A folder of a user's, with the examples in it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
        check=False,
        env={**os.environ, "MPLBACKEND": "agg", "XDG_STATE_HOME": str(folder / "state")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def up_of(folder: Path, *beamlines: str) -> Iterator[None]:
    """`stins up` of each of these beamline files in a user's folder."""
    ups = [
        subprocess.Popen(
            [sys.executable, "-m", "stins.cli", "up", beamline],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
        )
        for beamline in beamlines
    ]
    try:
        for up in ups:
            assert up.stdout is not None
            for line in up.stdout:
                if "up;" in line:
                    break
        yield
    finally:
        for up in ups:
            up.terminate()
        for up in ups:
            up.communicate(timeout=60)


def test_the_readme_begins_with_the_two_commands():
    commands = blocks(ROOT / "README.md", "sh")[:2]
    assert commands == ["pip install uv && uv run stins demo\n", "pip install uv && uv run pytest\n"]


def test_the_readmes_python_example_runs(user_folder):
    (code,) = blocks(ROOT / "README.md", "python")
    said = run_python(code, user_folder)
    assert (user_folder / "stins-data") in Path(said.splitlines()[-1]).parents


def named_files() -> list[str]:
    """The how-to on names needs a beamline too; it shares the tutorial's."""
    by_hand, after_the_run = blocks(ROOT / "docs" / "how-to" / "name-files.md", "python")
    take = "from bluesky.plans import count\nRE(count([detector]))"
    return [by_hand, take, after_the_run, "detector.destroy()"]


FAILURES = ROOT / "docs" / "tutorials" / "when-it-goes-wrong.md"


def failing() -> list[str]:
    """What the page on failures makes happen, each with what the exception says and what its first block gives then."""
    reason, *made = blocks(FAILURES, "python")
    caught = "try:\n{}except Exception as error:\n    print('SAID', error)\n    reason = {}    print('REASON', reason)"
    return [caught.format(indent(block, "    "), reason) for block in made]


def as_it_may_differ(said: str, folder: Path) -> str:
    """The message without what is another each time: folders, ports, uids, free space, numbers of messages."""
    text = said.replace(str(folder), "/…")
    for differs in (
        r"127\.0\.0\.1:\d+",
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        r"[\d,]+\.\d GB",
        r"message \d+",
    ):
        text = re.sub(differs, "…", text)
    return " ".join(text.split())


def test_the_tutorials_run_as_they_are_written(user_folder):
    scan, fly = (ROOT / "docs" / "tutorials" / f"{name}.md" for name in ("first-scan", "fly-scan"))
    assert "uv run stins up examples/simulated.yaml\n" in blocks(scan, "sh")
    code = [*blocks(scan, "python"), *blocks(fly, "python"), *failing(), "detector.destroy()", *named_files()]
    with up_of(user_folder, "examples/simulated.yaml"):
        said = run_python("\n".join(code), user_folder)
    assert "(5, 512, 512)" in said
    assert "b'complete' (5, 512, 512)" in said
    assert "sim: frames 200 of 200, none missing; " in said
    assert re.search(r"\{'start': \d+, 'stop': 200\}", said)
    # The places of the axis, and its frames.
    assert re.search(r"-1\. .* 1\. *\]\n21\n", said, re.DOTALL)
    # The page's last block sets back what the others set: its run works.
    failed = [line.partition(" ")[2] for line in said.splitlines() if line.startswith("SAID ")]
    on_the_page = [as_it_may_differ(text, user_folder) for text in blocks(FAILURES, "")]
    assert [as_it_may_differ(text, user_folder) for text in failed] == on_the_page
    reasons = [line.partition(" ")[2] for line in said.splitlines() if line.startswith("REASON ")]
    # Staging is before the run: the last run then is the one before.
    assert list(dict.fromkeys(reasons)) == [text for text in failed if not text.startswith("sim: stage:")]
    assert (user_folder / "stins-data/proposal-20261122/visit-1/lysozyme_0001.nxs").is_file()
    assert len(list(user_folder.glob("stins-data/p42/lysozyme/sim_000*.nxs"))) == 1


#: A RunEngine, as somebody at a prompt has it, and somebody who sends pulses as soon as a detector waits for them.
PROMPT = """
import threading
import time
import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import httpx
from bluesky import RunEngine
from bluesky.plans import count
from stins_ophyd import find_controller, find_detector

RE = RunEngine()
counts = []
RE.subscribe(lambda _, doc: counts.append(doc["num_events"].get("primary", 0)), "stop")

def send_pulses(number):
    with find_controller("eiger", "eiger") as controller:
        port = controller.read_acquirer().settings["http_port"]
    deadline = time.monotonic() + 60
    while number > 0 and time.monotonic() < deadline:
        train = {"count": number, "period_s": 0.03}
        number -= httpx.post(f"http://127.0.0.1:{port}/simulator/trigger", json=train, timeout=60).json()["taken"]
        threading.Event().wait(0.1)  # the simulator has to be armed meanwhile

pulses = threading.Thread(target=send_pulses, args=(20,))
"""


def test_the_how_tos_of_the_vendors_detectors_run_as_they_are_written(user_folder):
    eiger, cable = blocks(ROOT / "docs" / "how-to" / "connect-an-eiger.md", "python")
    (pilatus,) = blocks(ROOT / "docs" / "how-to" / "connect-a-pilatus.md", "python")
    ends = "pulses.join()\neiger.destroy()\npilatus.destroy()\nprint(counts)"
    code = "\n".join([PROMPT, eiger, "pulses.start()", cable, pilatus, ends])
    with up_of(user_folder, "examples/eiger.yaml", "examples/pilatus.yaml"):
        said = run_python(code, user_folder)
    # Of a count, a fly series (an event for each frame), the pulses, and a count.
    assert said.splitlines()[-1] == "[5, 100, 20, 5]"


def test_the_example_beamlines_load(user_folder):
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        assert load_beamline(path).detectors


def test_the_example_of_a_recorder_listens_to_the_example_of_an_acquirer():
    stream = load_config(ROOT / "acquirers" / "simulated.yaml", AcquirerConfig).stream
    recorder = load_config(ROOT / "recorder" / "recorder.yaml", RecorderConfig)
    assert (recorder.sources, recorder.acks) == (stream.endpoints, stream.ack_endpoints)


def test_the_yaml_of_the_how_to_is_a_beamline(tmp_path):
    texts = blocks(ROOT / "docs" / "how-to" / "run-a-beamline.md", "yaml")
    for text, name in zip(texts, ("sim", "electrometer"), strict=True):
        (tmp_path / "b.yaml").write_text(text)
        assert load_config(tmp_path / "b.yaml", BeamlineConfig).detectors.keys() == {name}


def test_numbers_without_images_are_recorded_as_the_how_to_says(user_folder, captures):
    page = ROOT / "docs" / "how-to" / "run-a-beamline.md"
    text, (code,) = blocks(page, "yaml")[1].replace("/captures", str(captures)), blocks(page, "python")
    (user_folder / "currents.yaml").write_text(text)
    with up_of(user_folder, "currents.yaml"):
        said = run_python(code, user_folder)
    assert said.splitlines()[-1] == str(user_folder / "data" / "currents.h5")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
