"""evaluation.json as a page that a person enjoys: one HTML file, offline, no script.

What stands on the page is in `report.html` (its looks in `report.css`), how a chart is drawn in
`charts.py`. Nothing is measured here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steps import charts
from steps.charts import Axis

TOP_FEATURES = 12
NAMES = {
    "auc": "AUC-ROC",
    "pr_auc": "PR-AUC",
    "f1": "F1",
    "log_loss": "Log loss",
    "rmse": "RMSE",
    "mae": "MAE",
    "mse": "MSE",
    "r2": "R²",
    "ndcg": "NDCG",
    "anomaly": "rare event",
    "binary": "yes or no",
    "multiclass": "one of several",
    "regression": "a number",
}


def render(
    evaluation: Mapping[str, Any], explanation: Mapping[str, Any], drawings: Mapping[str, Any]
) -> str:
    """The page. `drawings`: per model the points of its charts, from `curves.py`."""
    # Only here: a step that does not render needs no jinja2.
    import jinja2

    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": number, "name": name, "share": share}
    sections = [
        _section(key, verdict, explanation["models"][key], drawings[key])
        for key, verdict in evaluation["models"].items()
    ]
    css = (folder / "report.css").read_text("utf-8")
    return environment.get_template("report.html").render(
        evaluation=evaluation, sections=sections, checks=_checks(evaluation), css=css
    )


def number(value: float, digits: int = 4) -> str:
    """0.8423, 12.35, 48,120: the digits that say something."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if abs(value) >= 0.001 else f"{value:.2g}"


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def name(key: str) -> str:
    """pr_auc -> PR-AUC, disparate_impact -> Disparate impact."""
    return NAMES.get(key) or key.replace("_", " ").capitalize()


def _checks(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the verdict table: every gate, then every limit."""
    rows = []
    for key, verdict in evaluation["models"].items():
        gate = verdict["gate"]
        rows.append(
            {**gate, "model": key, "what": name(gate["metric"]), "limit": gate["threshold"]}
        )
        for measure, found in verdict.get("fairness_limits", {}).items():
            if "limit" in found:
                rows.append({**found, "model": key, "what": f"{name(measure)}, {found['facet']}"})
    return rows


def _section(
    key: str, verdict: Mapping[str, Any], shap: Mapping[str, Any], drawing: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "key": key,
        "verdict": verdict,
        "charts": _charts(verdict, drawing),
        "confusion": _confusion(drawing),
        "gain": _bars(verdict["importance"]),
        "shap": _bars(shap["global_shap_values"]),
        "sample_rows": shap["sample_rows"],
    }


def _charts(verdict: Mapping[str, Any], drawing: Mapping[str, Any]) -> list[dict[str, str]]:
    drawn = []
    if "roc" in drawing:
        base_rate = drawing["pr"][-1][1]
        drawn += [
            _chart(
                "ROC curve",
                charts.curve(
                    drawing["roc"],
                    Axis("False positive rate"),
                    Axis("True positive rate"),
                    [(0, 0), (1, 1)],
                ),
            ),
            _chart(
                "Precision and recall",
                charts.curve(
                    drawing["pr"],
                    Axis("Recall"),
                    Axis("Precision"),
                    [(0, base_rate), (1, base_rate)],
                ),
            ),
        ]
    if "scatter" in drawing:
        points = drawing["scatter"]
        both = charts.spanning("Actual", [v for point in points for v in point])
        picture = charts.dots(points, both, both._replace(label="Predicted"))
        drawn.append(_chart(f"Predicted and actual, {len(points)} rows", picture))
    return [*drawn, _calibration(verdict)]


def _calibration(verdict: Mapping[str, Any]) -> dict[str, str]:
    bins = verdict["calibration"]["bins"]
    points = [(found["mean_predicted"], found["mean_observed"]) for found in bins]
    kind = verdict["kind"]
    axis = charts.spanning("Mean prediction", [v for point in points for v in point])
    if kind == "multiclass":
        axis = axis._replace(label="Confidence")
    observed = {"regression": "Mean actual", "multiclass": "Share right"}.get(
        kind, "Observed share"
    )
    picture = charts.dots(points, axis, axis._replace(label=observed), line=True, radius=3.5)
    error = number(verdict["calibration"]["expected_calibration_error"])
    return _chart(f"Calibration, mean gap {error}", picture)


def _chart(title: str, picture: str) -> dict[str, str]:
    # charts.py escapes every text it places.
    import markupsafe

    return {"title": title, "picture": markupsafe.Markup(picture)}  # noqa: S704


def _confusion(drawing: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per true class: its label, and count and share of its rows for every named class."""
    if "confusion" not in drawing:
        return []
    return [
        {
            "label": label,
            "cells": [{"count": n, "share": n / max(sum(counts), 1)} for n in counts],
        }
        for label, counts in zip(drawing["labels"], drawing["confusion"], strict=True)
    ]


def _bars(values: Mapping[str, float]) -> Sequence[tuple[str, float, float]]:
    """(feature, value, length in percent of the largest) of the first features."""
    first = list(values.items())[:TOP_FEATURES]
    largest = max((value for _, value in first), default=0) or 1
    return [(feature, value, 100 * value / largest) for feature, value in first]
