"""`python -m steps.compare CHAMPION CHALLENGER`: which of two versions predicts better, how much.

Each is a folder as Evaluate leaves it: evaluation.json and predictions.npz. Both are scored on the
test rows that they share, so neither was trained on them, and the interval of the difference comes
from a paired bootstrap: each resample draws the same rows for both. Not a step of the pipeline:
`deploy.registry` runs it. The answer is one JSON document.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steps import metrics, predictions
from steps.predictions import PredictionsError, Said

RESAMPLES = 1000
SEED = 1
# Below that the interval of a difference says nothing.
FEWEST_ROWS = 30


class CompareError(Exception):
    """The two cannot be compared; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m steps.compare",
        description="Compare two versions on the test rows that they share.",
        epilog="example: python -m steps.compare build/v3 build/v4",
        allow_abbrev=False,
    )
    parser.add_argument("champion", type=Path)
    parser.add_argument("challenger", type=Path)
    arguments = parser.parse_args(argv)
    try:
        found = compare(arguments.champion, arguments.challenger)
    except (CompareError, PredictionsError, metrics.MetricsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


def compare(champion: Path, challenger: Path) -> dict[str, Any]:
    """{"rows", "resamples", "level", "models": {name: metric, both values, the difference, its 95 %
    interval, whether the challenger is worse}}; a difference above 0 is for the challenger.
    """
    judged = [_models(folder) for folder in (champion, challenger)]
    names = [name for name in judged[1] if name in judged[0]]
    if not names:
        raise CompareError(
            f"no model is in both: {', '.join(judged[0])} there, {', '.join(judged[1])} here"
        )
    (old_rows, old), (new_rows, new) = (
        predictions.read(folder / predictions.NAME, names) for folder in (champion, challenger)
    )
    ours, theirs = predictions.shared(new_rows, old_rows)
    if len(ours) < FEWEST_ROWS:
        raise CompareError(
            f"the two were tested on {len(old_rows)} and {len(new_rows)} rows, of which they share "
            f"{len(ours)}; at least {FEWEST_ROWS} are needed"
        )
    models = {}
    for name in names:
        if old[name].labels != new[name].labels:
            raise CompareError(f"the classes of {name} are not the same in both")
        chosen = _rows(old[name], theirs), _rows(new[name], ours)
        verdicts = judged[0][name], judged[1][name]
        models[name] = _difference(verdicts, chosen)
    return {"rows": len(ours), "resamples": RESAMPLES, "level": 0.95, "models": models}


def _models(folder: Path) -> Mapping[str, dict[str, Any]]:
    path = folder / "evaluation.json"
    try:
        return dict(json.loads(path.read_text("utf-8"))["models"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CompareError(f"{path} is not what Evaluate writes: {error}") from error


def _rows(said: Said, rows: Any) -> Said:
    return said._replace(targets=said.targets[rows], values=said.values[rows])


def _difference(verdicts: tuple[Any, Any], said: tuple[Said, Said]) -> dict[str, Any]:
    """Of one model, by the metric that the challenger is judged by."""
    gate, kind = verdicts[1]["gate"], verdicts[1]["kind"]
    metric, sign = gate["metric"], 1.0 if gate["direction"] == "min" else -1.0
    targets = said[1].targets
    score = [
        metrics.scorer(kind, targets, each.values, _threshold(verdict))
        for verdict, each in zip(verdicts, said, strict=True)
    ]
    whole = [each(np.ones(len(targets)))[metric] for each in score]

    def gain(weights: metrics.Floats) -> dict[str, float]:
        return {"gain": sign * (score[1](weights)[metric] - score[0](weights)[metric])}

    estimate = metrics.bootstrap(gain, len(targets), SEED, RESAMPLES)["gain"]
    return {
        "metric": metric,
        "direction": gate["direction"],
        "champion": whole[0],
        "challenger": whole[1],
        "gain": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "worse": estimate.high < 0,
    }


def _threshold(verdict: Mapping[str, Any]) -> float:
    return float((verdict.get("threshold") or {"value": 0.5})["value"])


if __name__ == "__main__":
    sys.exit(main())
