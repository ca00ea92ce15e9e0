"""What the sweep takes for a failure."""

import json
import subprocess
import sys
from pathlib import Path

_BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
#: In a process of its own: other tests have a module `chain` too.
_SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from chain import Verdict
from kill_sweep import Sweep
good, bad = [Verdict(sent=9, lost=lost, wrong=0, complete=True, problem="") for lost in (0, 1)]
sweeps = [Sweep(), Sweep(back_s=[0.1, 1.9], verdicts=[good]), Sweep(back_s=[0.1, 2.1]), Sweep(verdicts=[good, bad])]
print(json.dumps([sweep.failed for sweep in sweeps]))
"""


def test_a_lost_frame_fails_it_and_so_does_a_writer_that_is_back_too_late() -> None:
    command = [sys.executable, "-c", _SCRIPT, str(_BENCHMARKS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [False, False, True, True]
