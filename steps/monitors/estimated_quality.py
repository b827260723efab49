"""How good a binary model probably is before any label has come: an estimate, and marked as one.

Confidence-based: a probability of 0.8 is taken to be right eight times in ten, so each row adds 0.8
of a true and 0.2 of a false positive. That holds as far as the model is calibrated on today's data;
it cannot see that the relation of features and label has changed. No AWS monitor does this.
Source: https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steps.monitors import environment, quality_rows
from steps.monitors.environment import MonitorError
from steps.monitors.quality import CLEAN
from steps.monitors.quality_metrics import Floats

NOTE = (
    "ESTIMATE without labels, from the model's own probabilities; right only as far as they are"
    " calibrated on this data. Measure with ground truth as soon as there is some."
)


def estimate(probabilities: Floats, threshold: float) -> dict[str, Any]:
    """Expected metrics of decisions p >= threshold, p (n,) in 0 to 1, n >= 1.

    The deviation of accuracy is that of n independent rows; ratios are of expected counts.
    """
    yes = probabilities >= threshold
    tp, fn = float(probabilities[yes].sum()), float(probabilities[~yes].sum())
    fp, tn = float(yes.sum()) - tp, float((~yes).sum()) - fn
    rows = len(probabilities)
    deviation = float(np.sqrt((probabilities * (1 - probabilities)).sum())) / rows
    return {
        "confusion_matrix": {"0": {"0": tn, "1": fp}, "1": {"0": fn, "1": tp}},
        "accuracy": {"value": (tp + tn) / rows, "standard_deviation": deviation},
        "precision": {"value": _ratio(tp, tp + fp)},
        "recall": {"value": _ratio(tp, tp + fn)},
        "f1": {"value": _ratio(2 * tp, 2 * tp + fp + fn)},
    }


def run(variables: Mapping[str, str], root: Path) -> str:
    """Writes estimated_statistics.json of probability_attribute and its threshold."""
    settings = environment.read(variables)
    if (kind := variables.get("problem_type")) != "BinaryClassification":
        raise MonitorError(f"problem_type {kind!r} cannot be estimated; use BinaryClassification")
    if settings.constraints or settings.preprocessor:
        raise MonitorError(
            "an estimate supports neither baseline_constraints nor record_preprocessor_script"
        )
    name = quality_rows.attribute(variables, "probability_attribute")
    threshold = quality_rows.threshold(variables)
    _, (texts,) = quality_rows.columns(settings, None, [name])
    if not texts:
        raise MonitorError(f"Job inputs had no data: {settings.source} holds no rows")
    probabilities = quality_rows.numbers(texts, name)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise MonitorError(f"{name} is not within 0 and 1; it must be a probability")
    settings.output.mkdir(parents=True, exist_ok=True)
    content = {
        "version": 0.0,
        "estimate": True,
        "note": NOTE,
        "dataset": {"item_count": len(texts)},
        "estimated_binary_classification_metrics": estimate(probabilities, threshold),
    }
    path = settings.output / "estimated_statistics.json"
    path.write_text(json.dumps(content, indent=1))
    return CLEAN


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
