"""A variant's error rate and latency of late, from CloudWatch, against limits."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

PERIOD_SECONDS = 60
MICROSECONDS = 1000.0  # in a millisecond: ModelLatency is in microseconds


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--max-error-rate", type=float, metavar="SHARE", help="0.01 is 1 %%")
    command.add_argument("--max-latency-ms", type=float, metavar="MS", help="p99 of ModelLatency")
    command.add_argument(
        "--min-requests",
        type=int,
        default=20,
        metavar="N",
        help="judge a rate from so many requests on (default 20)",
    )


def trouble(
    cloudwatch: Any, endpoint: str, variant: str, since: datetime, limits: argparse.Namespace
) -> str:
    """What is above its limit, in words, or nothing."""
    asked = _Metrics(cloudwatch, endpoint, variant, since)
    found = []
    if limits.max_error_rate is not None:
        requests, errors = asked.total("Invocations"), asked.total("Invocation5XXErrors")
        rate = errors / requests if requests else 0.0
        if requests >= limits.min_requests and rate > limits.max_error_rate:
            found.append(
                f"variant {variant} failed {errors:g} of {requests:g} requests, {100 * rate:.3g} %;"
                f" allowed: {100 * limits.max_error_rate:g} %"
            )
    if limits.max_latency_ms is not None:
        latency = asked.highest_p99("ModelLatency") / MICROSECONDS
        if latency > limits.max_latency_ms:
            found.append(
                f"variant {variant} has a p99 of {latency:.3g} ms; allowed: "
                f"{limits.max_latency_ms:g} ms"
            )
    return "; ".join(found)


class _Metrics:
    """AWS/SageMaker's metrics of one variant since a moment."""

    def __init__(self, cloudwatch: Any, endpoint: str, variant: str, since: datetime) -> None:
        self._cloudwatch = cloudwatch
        self._about = {
            "Namespace": "AWS/SageMaker",
            "Dimensions": [
                {"Name": "EndpointName", "Value": endpoint},
                {"Name": "VariantName", "Value": variant},
            ],
            # Datapoints begin on the minute.
            "StartTime": since.replace(second=0, microsecond=0),
            "Period": PERIOD_SECONDS,
        }

    def total(self, metric: str) -> float:
        return sum(float(each["Sum"]) for each in self._points(metric, Statistics=["Sum"]))

    def highest_p99(self, metric: str) -> float:
        points = self._points(metric, ExtendedStatistics=["p99"])
        return max((float(each["ExtendedStatistics"]["p99"]) for each in points), default=0.0)

    def _points(self, metric: str, **statistic: list[str]) -> list[dict[str, Any]]:
        end = datetime.now(UTC) + timedelta(seconds=PERIOD_SECONDS)
        answer = self._cloudwatch.get_metric_statistics(
            MetricName=metric, EndTime=end, **self._about, **statistic
        )
        return list(answer["Datapoints"])
