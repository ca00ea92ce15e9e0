"""Another process with the same catalogue: says what it reads there. Started once for a module: its imports take long.

`python -m tests.at_home.reader CATALOGUE READABLE`: a line of JSON for each line of JSON.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from stins_ophyd import open_catalog


def look(catalog: Any, uid: str, key: str, index: Any) -> dict[str, Any]:
    """What is there of one data key: all of it, a frame, or a slice."""
    run = catalog[uid]
    values = run["primary"][key]
    if isinstance(index, list):
        index = slice(*index)
    return {
        "shape": list(values.shape),
        "values": (values.read() if index is None else values[index]).tolist(),
        "stop": run.metadata.get("stop"),
    }


def record(catalog: Any, spool: str, until: str) -> dict[str, Any]:
    """Records a run of 3 points here, and what is left in `spool` then.

    `until` it is "written", or is only "taken" (this process ends soon then), or this process is "killed" in the midst
    of it: with two points in the catalogue, and one more on the way there; or it is killed when the catalogue has
    "all", and the documents that were kept are about to go.
    """
    from bluesky import RunEngine
    from bluesky.plans import count
    from ophyd.sim import det

    from stins_ophyd import record_runs

    engine = RunEngine({}, context_managers=[])
    writer = record_runs(engine, catalog, spool)
    start: dict[str, Any] = {}
    engine.subscribe(lambda name, doc: start.update(doc), "start")

    def die(_name: str, doc: dict[str, Any]) -> None:
        if doc["seq_num"] == 2:
            writer.wait(60)
        elif doc["seq_num"] == 3:
            print(json.dumps({"uid": start["uid"]}), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    def die_before(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.remove" and str(arguments[0]).endswith(f"{start.get('uid')}.jsonl"):
            print(json.dumps({"uid": start["uid"]}), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    if until == "killed":
        engine.subscribe(die, "event")
    elif until == "all":
        sys.addaudithook(die_before)  # Python calls it before it removes a file
    engine(count([det], 3))
    if until in ("written", "all"):
        writer.stop()
    return {"uid": start["uid"], "left": [path.name for path in Path(spool).iterdir()]}


def main() -> None:
    """Until stdin ends."""
    catalog = open_catalog(sys.argv[1], readable=[Path(sys.argv[2])])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            answer = record(catalog, **asked) if "spool" in asked else look(catalog, **asked)
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
