"""Which features a model listens to: gain from training, exact SHAP values on a sample.

SHAP values are TreeSHAP's, computed by XGBoost itself (Lundberg et al. 2018): exact for trees, with
the trees' own row counts as background. Their cost grows with trees times rows, so the sample is
cut to a budget, and its size is always said.
"""

import json
from typing import Any

import numpy as np

from inference.transform import Features, Transform, import_xgboost

MOST_ROWS = 500
FEWEST_ROWS = 100
TREE_ROWS_BUDGET = 60_000  # about 0.3 s of one CPU at depth 6


def gain_shares(booster: Any, transform: Transform) -> dict[str, float]:
    """Feature -> its share of all gain, largest first; features in no split have 0."""
    scores = booster.get_score(importance_type="total_gain")
    gains = {name: float(scores.get(f"f{i}", 0.0)) for i, name in enumerate(transform.names)}
    total = sum(gains.values()) or 1.0
    return _largest_first({name: gain / total for name, gain in gains.items()})


def global_shap(booster: Any, transform: Transform, features: Features) -> dict[str, Any]:
    """{"sample_rows", "global_shap_values": {feature: mean |SHAP|, largest first}}.

    In the model's margin (log-odds for classes), averaged over classes for multiclass. The sample
    is rows at even distances: MOST_ROWS of them, fewer for a large model.
    """
    xgboost = import_xgboost()
    rows = sample_rows(len(features), _trees(booster))
    chosen = features[np.unique(np.linspace(0, len(features) - 1, rows).astype(np.intp))]
    kinds = transform.feature_types
    matrix = xgboost.DMatrix(
        chosen, feature_types=kinds, enable_categorical="c" in kinds, nthread=1
    )
    values = np.abs(booster.predict(matrix, pred_contribs=True), dtype=np.float64)
    per_feature = values.reshape(-1, values.shape[-1])[:, :-1].mean(axis=0)
    shares = dict(zip(transform.names, per_feature.tolist(), strict=True))
    return {"sample_rows": len(chosen), "global_shap_values": _largest_first(shares)}


def sample_rows(rows: int, trees: int) -> int:
    """How many of `rows` rows the budget allows for this many trees."""
    affordable = max(TREE_ROWS_BUDGET // max(trees, 1), FEWEST_ROWS)
    return min(rows, MOST_ROWS, affordable)


def _trees(booster: Any) -> int:
    learner = json.loads(booster.save_config())["learner"]
    # A dart booster keeps its trees one level deeper.
    holder = learner["gradient_booster"].get("gbtree", learner["gradient_booster"])
    return int(holder["gbtree_model_param"]["num_trees"])


def _largest_first(values: dict[str, float]) -> dict[str, float]:
    return dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))
