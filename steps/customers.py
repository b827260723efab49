"""The made-up customers of steps/generate.py: who they are, and the odds of what happens to them.

    hidden traits (random) -> 49 features -> odds (pure functions of the features) -> 5 targets

Every target is drawn from `odds`, which sees exactly what stands in the file: rounded values, and a
missing cell as its neutral value. So `odds` is the best predictor there can be.
docs/data_dictionary.md tells the same in words and formulas; files are steps/generate.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Table = dict[str, Array]

WORDS: dict[str, tuple[str, ...]] = {
    "gender": ("female", "male", "nonbinary"),
    "country": ("br", "de", "fr", "gb", "in", "jp", "mx", "us"),
    "area": ("rural", "suburban", "urban"),
    "income_band": ("low", "middle", "high"),
    "plan": ("free", "basic", "plus", "premium"),
    "acquisition_channel": ("organic", "partner", "referral", "search", "social"),
    "device_type": ("desktop", "mobile", "tablet", "tv"),
    "preferred_daypart": ("morning", "afternoon", "evening", "night"),
    "next_best_content": ("article", "community", "course", "live_event", "podcast", "video"),
}
# Share of cells left empty at random, whatever the customer.
MISSING: dict[str, float] = {
    "income_band": 0.06,
    "avg_sentiment_score": 0.08,
    "nps_score": 0.35,
    "completion_rate": 0.04,
    "preferred_daypart": 0.03,
    "household_size": 0.05,
}
PLAN_FEE = np.array([0.0, 9.99, 19.99, 39.99])
ENGAGEMENT_SPREAD = 30.0  # a Beta's a + b: variance = mean (1 - mean) / (1 + 30)
VALUE_SHAPE = 14.0  # a Gamma's shape: standard deviation = mean / sqrt(14)


def features(rng: np.random.Generator, rows: int) -> Table:
    """`rows` customers: 49 arrays in file order; words are codes into WORDS, missing NaN or -1."""
    hidden = {name: rng.standard_normal(rows) for name in ("drive", "mood", "social", "money")}
    table: Table = {}
    _people(rng, rows, hidden, table)
    _account(rng, rows, hidden, table)
    _activity(rng, rows, hidden, table)
    _security(rng, rows, table)
    _content(rng, rows, hidden, table)
    _social(rng, rows, hidden, table)
    _purchases(rng, hidden, table)
    for name, share in MISSING.items():
        empty = rng.random(rows) < share
        table[name] = np.where(empty, -1 if name in WORDS else np.nan, table[name])
    return table


def _people(rng: np.random.Generator, rows: int, hidden: Table, table: Table) -> None:
    table["age"] = np.clip(np.rint(18 + rng.gamma(3.2, 7.5, rows)), 18, 90)
    table["gender"] = _pick(rng, rows, (0.50, 0.47, 0.03))
    table["country"] = _pick(rng, rows, (0.09, 0.10, 0.08, 0.12, 0.16, 0.07, 0.08, 0.30))
    table["area"] = _pick(rng, rows, (0.18, 0.37, 0.45))
    wealth = hidden["money"] + (table["age"] - 42) / 30 + 0.7 * rng.standard_normal(rows)
    table["income_band"] = np.digitize(wealth, (-0.6, 1.1))
    table["household_size"] = 1.0 + rng.binomial(5, 0.28, rows)
    table["is_student"] = rng.random(rows) < np.where(table["age"] < 27, 0.45, 0.03)


def _account(rng: np.random.Generator, rows: int, hidden: Table, table: Table) -> None:
    table["tenure_months"] = np.clip(np.rint(rng.gamma(1.5, 22.0, rows)), 0, 120)
    eager = hidden["money"] + 0.5 * hidden["drive"] + rng.standard_normal(rows)
    plan = np.digitize(eager, (-0.5, 0.7, 1.8))
    table["plan"] = plan
    table["acquisition_channel"] = _pick(rng, rows, (0.34, 0.10, 0.16, 0.24, 0.16))
    discounted = rng.random(rows) < np.where(table["is_student"], 0.6, 0.2)
    table["discount_percent"] = np.where(discounted, rng.choice((10.0, 20.0, 30.0), rows), 0.0)
    fee = PLAN_FEE[plan] * (1 - table["discount_percent"] / 100)
    table["monthly_fee"] = np.round(fee, 2)
    table["auto_renew"] = rng.random(rows) < np.where(plan > 0, 0.68, 0.25)
    table["payment_failures_last_90_days"] = rng.poisson(np.where(plan > 0, 0.25, 0.02))
    table["support_tickets_last_90_days"] = rng.poisson(np.exp(-0.4 - 0.45 * hidden["mood"]))
    for name, share in (("email_opt_in", 0.62), ("push_enabled", 0.48), ("has_mobile_app", 0.70)):
        table[name] = rng.random(rows) < _logistic(_logit(share) + 0.5 * hidden["drive"])
    table["is_verified"] = rng.random(rows) < 0.81
    table["two_factor_enabled"] = rng.random(rows) < np.where(table["is_verified"], 0.38, 0.05)


def _activity(rng: np.random.Generator, rows: int, hidden: Table, table: Table) -> None:
    pace = np.exp(1.45 + 0.75 * hidden["drive"])
    table["sessions_last_7_days"] = np.minimum(rng.poisson(pace), 60)
    earlier = rng.poisson(pace * 3.2)
    table["sessions_last_30_days"] = np.minimum(table["sessions_last_7_days"] + earlier, 240)
    minutes = rng.gamma(4.0, 4.5 * np.exp(0.2 * hidden["drive"]))
    table["avg_session_minutes"] = np.round(np.minimum(minutes, 180), 1)
    quiet = rng.exponential(np.exp(2.6 - 0.9 * hidden["drive"]))
    recent = table["sessions_last_7_days"] > 0
    table["days_since_last_session"] = np.floor(np.where(recent, quiet % 7, 7 + quiet)).clip(0, 180)
    often = 1 - np.exp(-table["sessions_last_30_days"] / 22)
    table["active_days_last_30_days"] = rng.binomial(30, often)
    table["pages_per_session"] = np.round(1 + rng.gamma(3.0, 1.6, rows), 1).clip(1, 60)
    table["night_share"] = np.round(rng.beta(1.4, 7.0, rows), 3)
    table["weekend_share"] = np.round(rng.beta(3.0, 7.0, rows), 3)
    table["device_type"] = _pick(rng, rows, (0.27, 0.55, 0.10, 0.08))
    table["preferred_daypart"] = _pick(rng, rows, (0.22, 0.26, 0.39, 0.13))


def _security(rng: np.random.Generator, rows: int, table: Table) -> None:
    strange = rng.random(rows) < 0.027
    table["new_devices_last_30_days"] = rng.poisson(np.where(strange, 3.0, 0.15))
    table["countries_last_30_days"] = 1 + rng.poisson(np.where(strange, 1.8, 0.06))
    table["failed_logins_last_30_days"] = rng.poisson(np.where(strange, 7.0, 0.40))


def _content(rng: np.random.Generator, rows: int, hidden: Table, table: Table) -> None:
    taste = 0.35 * hidden["drive"] + rng.standard_normal(rows)
    table["content_diversity_score"] = np.round(_logistic(0.1 + 0.9 * taste), 3)
    volume = np.exp(0.45 * hidden["drive"])
    for name, mean, spread in (
        ("videos_watched_last_30_days", 9.0, 0.8),
        ("articles_read_last_30_days", 6.0, 0.8),
        ("podcasts_played_last_30_days", 3.0, 0.9),
    ):
        fond = np.exp(spread * rng.standard_normal(rows) - spread**2 / 2)
        table[name] = np.minimum(rng.poisson(mean * volume * fond), 300)
    table["completion_rate"] = np.round(rng.beta(4.0, 3.0, rows), 3)
    table["live_events_last_90_days"] = rng.poisson(0.7 * volume)


def _social(rng: np.random.Generator, rows: int, hidden: Table, table: Table) -> None:
    central = _logistic(-0.5 + 0.95 * hidden["social"])
    table["likes_last_30_days"] = rng.poisson(8 * central * np.exp(0.5 * hidden["drive"]))
    table["shares_last_30_days"] = rng.poisson(2.5 * central)
    table["comments_last_30_days"] = rng.poisson(3.5 * central)
    noise = 0.25 * rng.standard_normal(rows)
    table["network_centrality"] = np.round(_logistic(-0.5 + 0.95 * hidden["social"] + noise), 3)
    table["connections"] = rng.poisson(120 * central)
    table["groups_joined"] = rng.poisson(3 * central)
    feeling = np.tanh(0.25 + 0.55 * hidden["mood"] + 0.2 * rng.standard_normal(rows))
    table["avg_sentiment_score"] = np.round(feeling, 3)
    points = 6.8 + 1.9 * hidden["mood"] + 1.2 * rng.standard_normal(rows)
    table["nps_score"] = np.clip(np.rint(points), 0, 10)


def _purchases(rng: np.random.Generator, hidden: Table, table: Table) -> None:
    bought = rng.poisson(np.exp(0.3 + 0.5 * hidden["money"]))
    table["purchases_last_90_days"] = np.minimum(bought, 60)
    basket = rng.gamma(np.maximum(bought, 1) * 2.5, 7.0)
    table["spend_last_90_days"] = np.round(np.where(bought > 0, basket, 0.0), 2)


def odds(table: Table) -> Table:
    """What to expect of each customer, per target: mean, probability, or one per class."""
    seen = {**table, "avg_sentiment_score": np.nan_to_num(table["avg_sentiment_score"], nan=0.0)}
    seen["completion_rate"] = np.nan_to_num(table["completion_rate"], nan=0.5)
    return {
        "engagement_score": _engagement(seen),
        "churned": _churn(seen),
        "lifetime_value": _value(seen),
        "next_best_content": _next_content(seen),
        "is_anomaly": _anomaly(seen),
    }


def draw(rng: np.random.Generator, expected: Table) -> Table:
    """One outcome per customer and target, in file order; the best class is a code into WORDS."""
    mean = expected["engagement_score"]
    spread = ENGAGEMENT_SPREAD
    classes = expected["next_best_content"].cumsum(axis=1)
    ticket = rng.random((len(mean), 1))
    value = rng.gamma(VALUE_SHAPE, expected["lifetime_value"] / VALUE_SHAPE)
    return {
        "engagement_score": np.round(rng.beta(mean * spread, (1 - mean) * spread), 4),
        "churned": rng.random(len(mean)) < expected["churned"],
        "lifetime_value": np.round(value, 2),
        "next_best_content": (ticket > classes[:, :-1]).sum(axis=1),
        "is_anomaly": rng.random(len(mean)) < expected["is_anomaly"],
    }


def _engagement(seen: Table) -> Array:
    sessions = np.tanh((seen["sessions_last_7_days"] - 5) / 5)
    tenure = np.tanh((seen["tenure_months"] - 30) / 25)
    central = 2 * seen["network_centrality"] - 1
    diverse = 2 * seen["content_diversity_score"] - 1
    reachable = seen["push_enabled"] & seen["has_mobile_app"]
    return _logistic(
        0.95 * sessions
        + 0.65 * tenure
        + 0.85 * central
        + 0.70 * seen["avg_sentiment_score"]
        + 0.60 * diverse
        + 0.50 * central * diverse
        + 0.25 * reachable
        + 0.40 * (seen["completion_rate"] - 0.5)
        - 0.10
    )


def _churn(seen: Table) -> Array:
    unhappy = seen["support_tickets_last_90_days"].clip(0, 4) * (1 - seen["avg_sentiment_score"])
    return _logistic(
        -1.00
        - 1.00 * np.tanh((seen["tenure_months"] - 18) / 18)
        + 1.10 * np.tanh((seen["days_since_last_session"] - 6) / 6)
        - 0.90 * np.tanh((seen["sessions_last_7_days"] - 4) / 5)
        + 0.35 * unhappy
        + 0.80 * np.minimum(seen["payment_failures_last_90_days"], 2)
        - 0.80 * seen["auto_renew"]
        + 0.45 * (seen["plan"] == 0)
    )


def _value(seen: Table) -> Array:
    months = 6 + 0.5 * np.minimum(seen["tenure_months"], 60)
    stays = np.where(seen["auto_renew"], 1.2, 0.8)
    friends = 1 + 0.6 * seen["network_centrality"]
    return 25 + seen["monthly_fee"] * months * stays + 4 * seen["spend_last_90_days"] * friends


def _next_content(seen: Table) -> Array:
    """Softmax over the classes of WORDS, in their order."""
    young = np.tanh((40 - seen["age"]) / 12)
    evening = seen["preferred_daypart"] == 2
    logits = (
        1.5 * np.log1p(seen["articles_read_last_30_days"]) - 2.4 - 0.9 * young,
        3.4 * seen["network_centrality"] - 1.0 + 0.8 * (seen["groups_joined"] > 1),
        2.2 * seen["completion_rate"] - 0.8 + 1.6 * seen["is_student"],
        1.4 * np.log1p(seen["live_events_last_90_days"]) - 0.7 + 0.5 * (seen["area"] == 2),
        1.7 * np.log1p(seen["podcasts_played_last_30_days"]) - 1.9 + 4 * seen["night_share"],
        1.5 * np.log1p(seen["videos_watched_last_30_days"]) - 3.0 + 0.9 * young + 0.6 * evening,
    )
    scores = np.exp(1.25 * np.stack(logits, axis=1))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def _anomaly(seen: Table) -> Array:
    return _logistic(
        -7.6
        + 0.75 * np.minimum(seen["failed_logins_last_30_days"], 10)
        + 1.10 * np.minimum(seen["new_devices_last_30_days"], 4)
        + 1.30 * np.minimum(seen["countries_last_30_days"] - 1, 3)
        + 3.00 * seen["night_share"]
        - 1.20 * seen["two_factor_enabled"]
    )


def _pick(rng: np.random.Generator, rows: int, shares: tuple[float, ...]) -> Array:
    """Codes 0, 1, ... with these shares (they sum to 1)."""
    return np.searchsorted(np.cumsum(shares)[:-1], rng.random(rows), side="right")


def _logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))
