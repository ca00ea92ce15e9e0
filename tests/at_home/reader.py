"""Another process with the same catalogue: says what it reads there. Started once for a module: its imports take long.

`python -m tests.at_home.reader CATALOGUE READABLE`: a line of JSON for each line of JSON.
"""

import json
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


def record(catalog: Any, spool: str) -> dict[str, Any]:
    """Records a run here. This process ends soon afterwards."""
    from bluesky import RunEngine
    from bluesky.plans import count
    from ophyd.sim import det

    from stins_ophyd import record_runs

    engine = RunEngine({}, context_managers=[])
    record_runs(engine, catalog, spool)
    (uid,) = engine(count([det], 2))
    return {"uid": uid}


def main() -> None:
    """Until stdin ends."""
    catalog = open_catalog(sys.argv[1], readable=[Path(sys.argv[2])])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            answer = record(catalog, asked["spool"]) if "spool" in asked else look(catalog, **asked)
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
