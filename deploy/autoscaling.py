"""`python -m deploy.autoscaling set | show | remove | simulate`: instances that follow the traffic.

    set: each variant -> RegisterScalableTarget -> PutScalingPolicy (invocations per instance)

`set` sends only what differs from what is there. What an update of the endpoint has to do about
scaling is done in rescaling.py. `simulate` calls nobody: scaling_model.py.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from deploy import commands, scaling_options, scaling_simulation, scaling_targets
from deploy.commands import Answer, DeployError
from deploy.requests import Requests
from deploy.scaling_targets import Scaled, named
from pipelines import settings

POLICY = "invocations-per-instance"
METRIC = "SageMakerVariantInvocationsPerInstance"
SHOWN_ACTIVITIES = 10


def main(argv: list[str] | None = None) -> int:
    top = commands.parser("deploy.autoscaling", "Scale an endpoint.", "set --min 2 --max 20")
    subs = top.add_subparsers(required=True, metavar="COMMAND")
    made = {
        name: _add(subs, name, command, text)
        for name, command, text in (
            ("set", set_, "scale the endpoint's variants by their traffic"),
            ("show", show, "what scales, and what it did"),
            ("remove", remove, "scale no more; the instances there are stay"),
            (
                "simulate",
                scaling_simulation.simulate,
                "play a traffic trace through the algorithm; calls nobody",
            ),
        )
    }
    for name in ("set", "simulate"):
        scaling_options.add(made[name])
    for name in ("set", "show", "remove"):
        commands.add_shared_options(made[name])
        made[name].add_argument("--name", metavar="ENDPOINT", help="default: the problem's")
        made[name].add_argument(
            "--variant", action="append", metavar="NAME", help="only this one; may be repeated"
        )
    for name in ("set", "remove"):
        made[name].add_argument("--dry-run", action="store_true", help="say it, do not do it")
    scaling_simulation.add_options(made["simulate"])
    return commands.run(top.parse_args(argv))


def _add(subs: Any, name: str, command: commands.Command, text: str) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = subs.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    sub.set_defaults(command=command)
    return sub


def set_(arguments: argparse.Namespace) -> Answer:
    scaling_options.check(arguments)
    endpoint, sagemaker, scaling = _place(arguments)
    there = {each.variant: each for each in _instances(scaling, endpoint)}
    requests, words = Requests(arguments.dry_run), []
    for variant in _variants(arguments, sagemaker, endpoint):
        sent = len(requests.made)
        _set(arguments, requests, scaling, endpoint, variant, there.get(variant))
        changed = "" if len(requests.made) > sent else " already; nothing changed"
        words.append(f"{variant}: {_wording(arguments)}{changed}")
    return _answer(f"Endpoint {endpoint}", words, endpoint, requests)


def show(arguments: argparse.Namespace) -> Answer:
    endpoint, sagemaker, scaling = _place(arguments)
    scaled = scaling_targets.of_endpoint(scaling, endpoint)
    if arguments.variant:
        scaled = [each for each in scaled if each.variant in arguments.variant]
    if not scaled:
        document: dict[str, Any] = {"endpoint": endpoint, "targets": [], "activities": []}
        return Answer(f"Nothing of endpoint {endpoint} scales.", document)
    counts = _counts(sagemaker, endpoint)
    done = scaling_targets.activities(scaling, endpoint, SHOWN_ACTIVITIES)
    targets = [_shown(each, counts) for each in scaled]
    headers = ("variant", "instances", "min", "max", "policies", "suspended")
    text = commands.table(headers, ([row[each] for each in headers] for row in targets))
    if done:
        text += "\n\n" + commands.table(
            ("when", "status", "what", "why"),
            (
                (
                    f"{a['StartTime']:%Y-%m-%d %H:%M:%S}",
                    a["StatusCode"],
                    a["Description"],
                    a["Cause"],
                )
                for a in done
            ),
        )
    details = [
        {"target": each.target, "policies": each.policies, "actions": each.actions}
        for each in scaled
    ]
    return Answer(text, {"endpoint": endpoint, "targets": details, "activities": done})


def remove(arguments: argparse.Namespace) -> Answer:
    endpoint, _, scaling = _place(arguments)
    scaled = scaling_targets.of_endpoint(scaling, endpoint)
    if arguments.variant:
        scaled = [each for each in scaled if each.variant in arguments.variant]
    requests = Requests(arguments.dry_run)
    scaling_targets.remove(requests, scaling, scaled)
    words = [f"{each.variant}: no longer scaled" for each in scaled]
    return _answer(f"Endpoint {endpoint}", words or ["nothing scales"], endpoint, requests)


def _set(
    arguments: argparse.Namespace,
    requests: Requests,
    client: Any,
    endpoint: str,
    variant: str,
    there: Scaled | None,
) -> None:
    """Send what differs from what is there."""
    bounds = {"MinCapacity": arguments.min, "MaxCapacity": arguments.max}
    if there is None or any(there.target[name] != value for name, value in bounds.items()):
        requests.send(client, "register_scalable_target", **named(endpoint, variant), **bounds)
    tracking = {
        "TargetValue": float(arguments.target_value),
        "PredefinedMetricSpecification": {"PredefinedMetricType": METRIC},
        "ScaleInCooldown": arguments.scale_in_cooldown,
        "ScaleOutCooldown": arguments.scale_out_cooldown,
    }
    member = "TargetTrackingScalingPolicyConfiguration"
    policies = there.policies if there else []
    if not any(p["PolicyName"] == POLICY and p.get(member) == tracking for p in policies):
        requests.send(
            client,
            "put_scaling_policy",
            **named(endpoint, variant),
            PolicyName=POLICY,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=tracking,
        )


def _place(arguments: argparse.Namespace) -> tuple[str, Any, Any]:
    """(the endpoint's name, a SageMaker client, an Application Auto Scaling client)"""
    endpoint = arguments.name or commands.problem(arguments).deploy.endpoint
    place = commands.place(arguments)
    scaling = settings.client(place, scaling_targets.SERVICE)
    return endpoint, settings.sagemaker(place), scaling


def _instances(client: Any, endpoint: str) -> list[Scaled]:
    """What of an endpoint is scaled by its number of instances."""
    found = scaling_targets.of_endpoint(client, endpoint)
    return [e for e in found if e.target["ScalableDimension"] == scaling_targets.INSTANCES]


def _variants(arguments: argparse.Namespace, client: Any, endpoint: str) -> list[str]:
    """The variants that are meant: those given, else all that have instances."""
    there = scaling_targets.variants_of(client, endpoint)
    wanted = arguments.variant or there
    strange = [each for each in wanted if each not in there]
    if strange or not there:
        known = ", ".join(there) or "none with instances"
        raise DeployError(
            f"Endpoint {endpoint} has no variant {', '.join(strange)}; it has: {known}."
        )
    return list(wanted)


def _counts(client: Any, endpoint: str) -> dict[str, str]:
    """Of each variant its instances as words: `2`, or `2 -> 5` while that changes."""
    counts = {}
    for each in client.describe_endpoint(EndpointName=endpoint).get("ProductionVariants", []):
        now, then = each.get("CurrentInstanceCount", 0), each.get("DesiredInstanceCount", 0)
        counts[each["VariantName"]] = str(now) if now == then else f"{now} -> {then}"
    return counts


def _shown(scaled: Scaled, counts: dict[str, str]) -> dict[str, Any]:
    off = [name for name, value in scaled.target.get("SuspendedState", {}).items() if value]
    return {
        "variant": scaled.variant,
        "instances": counts.get(scaled.variant, "-"),
        "min": scaled.target["MinCapacity"],
        "max": scaled.target["MaxCapacity"],
        "policies": "; ".join(_policy_words(each) for each in scaled.policies) or "none",
        "suspended": ", ".join(name.removesuffix("Suspended") for name in off) or "no",
    }


def _policy_words(policy: dict[str, Any]) -> str:
    config = policy.get("TargetTrackingScalingPolicyConfiguration")
    if config is None:
        return f"{policy['PolicyName']} ({policy['PolicyType']})"
    waits = "/".join(str(config.get(f"Scale{way}Cooldown", 300)) for way in ("In", "Out"))
    return f"{policy['PolicyName']} at {config['TargetValue']:g}, cooldown in/out {waits} s"


def _wording(arguments: argparse.Namespace) -> str:
    return (
        f"{arguments.min} to {arguments.max} instances at {arguments.target_value} invocations a "
        f"minute and instance, cooldown in/out {arguments.scale_in_cooldown}/"
        f"{arguments.scale_out_cooldown} s"
    )


def _answer(head: str, words: list[str], endpoint: str, requests: Requests) -> Answer:
    lines = "\n".join(f"  {each}" for each in words)
    document = {"endpoint": endpoint, "changes": len(requests.made), "requests": requests.documents}
    if requests.dry_run:
        text = f"{head}, would be:\n{lines}\n{requests.text()}".rstrip()
        return Answer(text, {**document, "dry_run": True})
    return Answer(f"{head}\n{lines}", document)


if __name__ == "__main__":
    sys.exit(main())
