"""A verdict as a page: one HTML file, offline, no script. What stands on it is experiment.html."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from deploy import time_charts
from deploy.decision import Evidence, Finding, Rules, Verdict
from deploy.sequential import Floats
from deploy.time_charts import Level, Line

COLOURS = {"promote": "good", "hold": "wait", "roll back": "bad"}
LN10 = math.log(10)


def render(endpoint: str, pair: tuple[str, str], evidence: Evidence, verdict: Verdict) -> str:
    import jinja2  # only here: --help needs none
    import markupsafe

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    charts = [
        # time_charts.py escapes every text it places.
        {"title": title, "note": note, "picture": markupsafe.Markup(picture)}  # noqa: S704
        for title, note, picture in _charts(pair, evidence, verdict)
    ]
    return environment.get_template("experiment.html").render(
        endpoint=endpoint,
        champion=pair[0],
        challenger=pair[1],
        verdict=verdict,
        rules=verdict.rules,
        colour=COLOURS[verdict.answer],
        findings=[_row(each) for each in (verdict.promotion, *verdict.harms)],
        period=_period(evidence),
        charts=charts,
    )


def _period(evidence: Evidence) -> str:
    times = [*evidence.traffic_times[[0, -1]]] if evidence.traffic_times.size else []
    return " to ".join(f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M}" for t in times)


def _row(finding: Finding) -> dict[str, str]:
    values = finding.values
    if "evidence" in values:
        figure = f"{values['evidence']:,.3g} : 1 (needs {values['needed']:,.3g} : 1)"
    elif "excess_low_ms" in values:
        figure = f"excess at least {values['excess_low_ms']:.3g} ms"
    elif finding.name == "latency":
        figure = f"{values['minutes']:.0f} minutes: too few"
    else:
        names = (("gain_low", "above"), ("gain_high", "below"))
        figure = ", ".join(f"{word} {values[n]:+.4g}" for n, word in names if n in values)
    kind = "always valid" if finding.exact else "always valid, asymptotic"
    return {
        "asks": finding.asks[:1].upper() + finding.asks[1:],
        "figure": figure,
        "kind": f"{kind}, alpha {finding.alpha:.3g}",
        "answer": "yes" if finding.yes else "not shown",
    }


def _charts(
    pair: tuple[str, str], evidence: Evidence, verdict: Verdict
) -> list[tuple[str, str, str]]:
    drawn = [
        ("The gain, and where it can be", _gain_note(verdict.rules), _gain(verdict)),
        ("Evidence", "powers of ten; a test says yes above its line", _evidence(verdict)),
        ("Requests so far", "sum since the beginning, by variant", _traffic(pair, evidence)),
        ("Latency", "mean of each minute in ms, by variant", _latency(pair, evidence)),
    ]
    return [each for each in drawn if each[2]]


def _gain_note(rules: Rules) -> str:
    each = f"each bound is wrong ever with probability {rules.alpha:g}"
    return f"challenger minus champion, positive is better; {each}"


def _gain(verdict: Verdict) -> str:
    lower, upper, rules = *verdict.gain, verdict.rules
    if not lower.size:
        return time_charts.chart("Gain", [], [])
    # The first blocks say nothing: bounds of -1 and 1 would flatten all that follows.
    reach = 4 * max(float(upper[-1] - lower[-1]), 0.02)
    middle = float(upper[-1] + lower[-1]) / 2
    bounds = (max(-1.0, middle - reach), min(1.0, middle + reach))
    levels = [Level("promote above", rules.promote_above, "limit good")]
    if rules.worse_below != rules.promote_above:
        levels.append(Level("worse below", rules.worse_below, "limit bad"))
    lines = [Line("lower bound", list(lower), "a"), Line("upper bound", list(upper), "b")]
    return time_charts.chart(
        "Gain", list(verdict.times), lines, levels, (list(lower), list(upper)), bounds
    )


def _evidence(verdict: Verdict) -> str:
    """Those tests that have an e-process on the times of the gain."""
    looks = {"gain": "a", "worse": "b"}
    found = [
        each
        for each in (verdict.promotion, *verdict.harms)
        if each.log_evidence is not None and each.name in looks
    ]
    if not found:
        return ""
    lines = [Line(each.asks, list(_powers(each)), looks[each.name]) for each in found]
    levels = [
        Level(f"{1 / each.alpha:.3g} : 1", -math.log10(each.alpha), f"limit {colour}")
        for each, colour in zip(found, ("good", "bad"), strict=False)
    ]
    return time_charts.chart("Evidence", list(verdict.times), lines, levels)


def _powers(finding: Finding) -> Floats:
    found = np.asarray(finding.log_evidence) / LN10
    return np.maximum(found, -3.0)  # how little evidence there is says nothing


def _traffic(pair: tuple[str, str], evidence: Evidence) -> str:
    counts = (evidence.traffic.champion_n, evidence.traffic.challenger_n)
    lines = [
        Line(name, list(np.cumsum(each)), looks)
        for name, each, looks in zip(pair, counts, "ab", strict=True)
    ]
    return time_charts.chart("Requests so far", list(evidence.traffic_times), lines)


def _latency(pair: tuple[str, str], evidence: Evidence) -> str:
    means = (evidence.champion_latency, evidence.challenger_latency)
    lines = [Line(n, list(v), looks) for n, v, looks in zip(pair, means, "ab", strict=True)]
    return time_charts.chart("Latency", list(evidence.latency_times), lines)
