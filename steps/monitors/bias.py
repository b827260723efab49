"""From an analysis config and a table of texts to the bias parts of analysis.json.

    config + bias_table -> sides (the Rows of each facet value) -> analyse (the two sections)

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-processing-job-configure-parameters.html
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from steps.monitors import bias_metrics
from steps.monitors.bias_metrics import BiasError, Flags, Floats, Rows
from steps.monitors.bias_table import Config, Table, Texts, column, named, number, numbers, whole
from steps.monitors.environment import MonitorError

PREDICTED = "predicted_label"
# A number column with more different values than these is cut at its threshold.
MOST_CATEGORIES = 10
STAGES = {
    "pre_training_bias": bias_metrics.PRE_TRAINING,
    "post_training_bias": bias_metrics.POST_TRAINING,
}


class Side(NamedTuple):
    """One facet value: the column, the value as analysis.json shows it, and the rows."""

    facet: str
    value: str
    rows: Rows


def analyse(config: Config, table: Table, all_sides: Sequence[Side]) -> dict[str, Any]:
    """The sections `methods` asks for; a metric that does not exist has null and its error."""
    _, shown = positives(config, column(table, config["label"]), config["label"])
    answer = {}
    for stage, names in stages(config).items():
        facets: dict[str, list[Any]] = {}
        for side in all_sides:
            chosen = {name: STAGES[stage][name] for name in names}
            entry = {
                "value_or_threshold": side.value,
                "metrics": [_written(m) for m in bias_metrics.report(chosen, side.rows)],
            }
            facets.setdefault(side.facet, []).append(entry)
        answer[f"{stage}_metrics"] = {
            "label": config["label"],
            "label_value_or_threshold": shown,
            "facets": facets,
        }
    return answer


def _written(metric: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: it is the text "Infinity" or "-Infinity", which float() reads."""
    value = metric["value"]
    if value is None or np.isfinite(value):
        return metric
    return {**metric, "value": "Infinity" if value > 0 else "-Infinity"}


def stages(config: Config) -> dict[str, list[str]]:
    """The bias stages in `methods`, with the metrics they ask for."""
    found = {}
    for stage, known in STAGES.items():
        if stage in config["methods"]:
            asked = config["methods"][stage].get("methods", "all")
            names = sorted(known) if asked == "all" else list(asked)
            if unknown := [name for name in names if name not in known]:
                raise MonitorError(
                    f"methods.{stage} has no {', '.join(unknown)}; use {', '.join(known)}"
                )
            found[stage] = names
    return found


def sides(config: Config, table: Table) -> list[Side]:
    """The Rows of every facet value. Predictions are wanted by post_training_bias alone."""
    label = whole(table, config["label"])
    positive, _ = positives(config, label, config["label"])
    wants = "post_training_bias" in config["methods"]
    predicted = _predicted(config, table) if wants else np.zeros(len(label), dtype=bool)
    codes = positive.astype(np.intp)
    if not _is_cut(label, config.get("label_values_or_threshold")):
        codes = np.unique(label, return_inverse=True)[1]
    group = None
    if config.get("group_variable"):
        group = np.unique(column(table, config["group_variable"]), return_inverse=True)[1]
    found = []
    for facet in _listed(config.get("facet")):
        values = column(table, facet["name_or_index"])
        name = named(table, facet["name_or_index"])
        for members, shown in _members(name, values, facet.get("value_or_threshold")):
            rows = Rows(members, codes, positive, predicted, group)
            flips = _flips(config, table, name, rows) if wants else rows.flips
            found.append(Side(name, shown, rows._replace(flips=flips)))
    if not found:
        raise MonitorError("facet is not set in the analysis config; name the sensitive column")
    return found


def _listed(facet: Any) -> list[Any]:
    return facet if isinstance(facet, list) else [facet] if facet else []


def _members(name: str, values: Texts, given: Any) -> Iterator[tuple[Flags, str]]:
    """One group for the values given, or each value in turn when none is."""
    if given:
        yield _selected(values, given)
        return
    distinct = sorted(set(values.tolist()))
    if len(distinct) > MOST_CATEGORIES and numbers(values) is not None:
        raise MonitorError(f"facet {name} has {len(distinct)} numbers; give a value_or_threshold")
    for value in distinct:
        yield values == value, value


def positives(config: Config, values: Texts, name: str) -> tuple[Flags, str]:
    """Which labels are positive, and how analysis.json names them."""
    given = config.get("label_values_or_threshold")
    if not given:
        raise MonitorError("label_values_or_threshold is not set; name the positive labels")
    members, shown = _selected(values, given)
    if not members.any():
        raise MonitorError(f"no row of {name} is {shown}; see label_values_or_threshold")
    return members, shown


def _selected(values: Texts, given: Sequence[Any]) -> tuple[Flags, str]:
    cells = numbers(values)
    if cells is not None and _is_cut(values, given):
        threshold = float(given[0])
        return cells > threshold, f"({threshold:g}, {np.nanmax(cells):g}]"
    return _among(values, given), ",".join(map(str, given))


def _among(values: Texts, given: Sequence[Any]) -> Flags:
    """Rows with one of the values given: as numbers where all are (1 is 1.0), else as texts."""
    cells, wanted = numbers(values), [number(value) for value in given]
    if cells is not None and None not in wanted:
        return np.isin(cells, np.array(wanted, np.float64))
    return np.isin(values.astype(str), [str(value) for value in given])


def _is_cut(values: Texts, given: Any) -> bool:
    """Whether the one value given is a threshold: the column holds many numbers."""
    if not given or len(given) != 1 or number(given[0]) is None:
        return False
    cells = numbers(values)
    return cells is not None and len(np.unique(cells)) > MOST_CATEGORIES


def _predicted(config: Config, table: Table) -> Flags:
    name = config.get(PREDICTED, PREDICTED)
    if name in table or PREDICTED in config:
        given, values = config["label_values_or_threshold"], whole(table, name)
        if not _is_cut(column(table, config["label"]), given):
            return _among(values, given)
        return _above(values, float(given[0]), str(name))
    if name := config.get("probability"):
        return _above(whole(table, name), float(config.get("probability_threshold", 0.5)), name)
    raise MonitorError(
        "methods.post_training_bias needs predictions, and a predictor with a live endpoint is not"
        " supported here; run a batch transform on the data, add its answers as a column and name"
        f" it in {PREDICTED} (or probability), or leave post_training_bias out"
    )


def _above(values: Texts, threshold: float, name: str) -> Flags:
    cells = numbers(values)
    if cells is None or not np.isfinite(cells).all():
        raise MonitorError(f"{name} is not all numbers; it is compared with {threshold:g}")
    return cells > threshold


def _flips(config: Config, table: Table, facet: str, rows: Rows) -> Floats | str:
    """What the flip test sees, or why it cannot be made."""
    named_columns = [config.get(key, key) for key in (PREDICTED, "probability")]
    outside = {facet, named(table, config["label"]), *map(str, named_columns)}
    outside |= {config["group_variable"]} if config.get("group_variable") else set()
    columns = {n: numbers(values) for n, values in table.items() if n not in outside}
    if texts := [name for name, values in columns.items() if values is None]:
        return f"the flip test supports number columns alone; not numbers: {', '.join(texts)}"
    features = [values for values in columns.values() if values is not None]
    matrix = np.column_stack(features) if features else np.empty((len(rows.facet), 0))
    try:
        return bias_metrics.flips(matrix, rows.facet, rows.predicted)
    except BiasError as error:
        return str(error)
