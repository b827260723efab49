"""The limit that `make run` is compared with: `xgboost.train` of the same models, nothing else.

`python -m bench.bare_training PREPARED_DIR` loads what the Prepare step wrote, trains every model
the way steps/train.py does, one after the other, and prints the seconds each took as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from inference.transform import Transform, import_xgboost
from steps import train


def seconds_per_model(prepared: Path) -> dict[str, dict[str, float]]:
    """{model: {"cpu": s, "wall": s}}; imports and reading the arrays are not counted."""
    os.environ["SM_NUM_CPUS"] = "1"
    import_xgboost()
    transform = Transform.from_json((prepared / "transform/transform.json").read_text("utf-8"))
    plan = json.loads((prepared / "transform/models.json").read_text("utf-8"))
    found = {}
    for spec in plan["models"]:
        parts = [train._part(prepared / name, spec["name"]) for name in ("train", "validation")]
        parameters = train.booster_parameters(spec, plan["seed"])
        cpu, wall = time.process_time(), time.perf_counter()
        train.fit(spec, parameters, transform, *parts)
        found[spec["name"]] = {
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
        }
    return found


if __name__ == "__main__":
    # xgboost prints its progress on stdout; the result must stand alone there.
    result, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(seconds_per_model(Path(sys.argv[1]))), file=result)
