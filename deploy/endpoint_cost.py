"""What an endpoint that is up costs: its instances as they are now, and what it captures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy import commands
from deploy.commands import DeployError
from deploy.served import served
from pipelines import settings
from pipelines.prices import Prices
from pipelines.settings import Settings

DAY = timedelta(days=1)
DAYS_PER_MONTH = 30
KB_PER_GB = 1024**2
# A captured record holds request and answer, in Base64 at worst, and who, when and how.
BASE64 = 4 / 3
ENVELOPE_KB = 0.5


@dataclass(frozen=True)
class Fleet:
    """One variant: USD an hour; `untold` says what of it is not in the figure."""

    variant: str
    on: str
    instances: int
    hour: float
    untold: str = ""


@dataclass(frozen=True)
class Capture:
    """What a month of capturing leaves in S3, and what keeping it costs for each further month."""

    sampling_percent: float
    gb: float
    month: float


@dataclass(frozen=True)
class EndpointCost:
    """A whole endpoint; hours_per_month is the table's."""

    endpoint: str
    fleets: tuple[Fleet, ...]
    capture: Capture | None
    requests_per_month: float
    hours_per_month: float

    @property
    def hour(self) -> float:
        return sum(fleet.hour for fleet in self.fleets)

    @property
    def month(self) -> float:
        return self.hour * self.hours_per_month

    @property
    def document(self) -> dict[str, Any]:
        return {**asdict(self), "hour": self.hour, "month": self.month}

    def text(self) -> str:
        rows = (
            (f.variant, f.on, f.instances, f"{f.hour:.4f}", f"{f.hour * self.hours_per_month:.2f}")
            for f in self.fleets
        )
        table = commands.table(("Variant", "On", "Instances", "USD/h", "USD/month"), rows)
        lines = [f"Endpoint {self.endpoint}", table]
        lines += [f"not counted: variant {f.variant}: {f.untold}" for f in self.fleets if f.untold]
        lines.append(f"Together {self.hour:.4f} USD an hour, {self.month:.2f} USD a month.")
        if self.capture:
            lines.append(
                f"Capture: {self.capture.sampling_percent:g} % of {self.requests_per_month:,.0f} "
                f"requests a month is {self.capture.gb:.3f} GB; {self.capture.month:.4f} USD for "
                "each month that a month's records are kept."
            )
        return "\n".join(lines)


def endpoint_cost(
    place: Settings, prices: Prices, name: str, requests: float | None, payload_kb: float
) -> EndpointCost:
    """Read the endpoint, and its load from CloudWatch unless it is given."""
    client = settings.sagemaker(place)
    if served(client, name) is None:
        raise DeployError(f"There is no endpoint {name}, so it costs nothing.")
    endpoint = client.describe_endpoint(EndpointName=name)
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    live = {variant["VariantName"]: variant for variant in _variants(endpoint)}
    fleets = tuple(_fleet(each, live, prices) for each in _variants(config))
    if requests is None:
        requests = sum(_last_day(place, name, each) for each in live) * DAYS_PER_MONTH
    capture = endpoint.get("DataCaptureConfig", {})
    percent = capture.get("CurrentSamplingPercentage", 0) if capture.get("EnableCapture") else 0
    kept = _capture(prices, percent, requests, payload_kb) if percent else None
    return EndpointCost(name, fleets, kept, requests, prices.hours_per_month)


def _variants(document: dict[str, Any]) -> list[dict[str, Any]]:
    members = ("ProductionVariants", "ShadowProductionVariants")
    return [variant for member in members for variant in document.get(member) or ()]


def _fleet(variant: dict[str, Any], live: dict[str, Any], prices: Prices) -> Fleet:
    name, instance_type = variant["VariantName"], variant.get("InstanceType")
    if serverless := variant.get("ServerlessConfig"):
        gb = serverless["MemorySizeInMB"] / 1024
        second = prices.used("serverless_gb_second", gb)
        untold = f"{second:.7f} USD for each second that it works"
        if "ProvisionedConcurrency" in serverless:
            untold += ", and its provisioned concurrency"
        return Fleet(name, f"serverless {gb:g} GB", 0, 0.0, untold)
    if instance_type is None:
        return Fleet(name, "instance pools", 0, 0.0, "which types are up is not told")
    # Autoscaling and UpdateEndpointWeightsAndCapacities change the count, not the configuration.
    initial = variant.get("InitialInstanceCount", 0)
    count = live.get(name, {}).get("CurrentInstanceCount", initial)
    return Fleet(name, instance_type, count, prices.instance(instance_type).hour * count)


def _capture(prices: Prices, percent: float, requests: float, payload_kb: float) -> Capture:
    record_kb = 2 * payload_kb * BASE64 + ENVELOPE_KB
    gb = requests * percent / 100 * record_kb / KB_PER_GB
    return Capture(percent, gb, prices.used("s3_gb_month", gb))


def _last_day(place: Settings, endpoint: str, variant: str) -> float:
    now = datetime.now(UTC)
    answer = settings.client(place, "cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName="Invocations",
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": variant},
        ],
        StartTime=now - DAY,
        EndTime=now,
        Period=int(DAY.total_seconds()),
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in answer["Datapoints"]))
