"""ARNs: how they are made, and what a "name or ARN" argument means.

AWS lower-cases names inside ARNs, and its samples take a job's name from its ARN, so that both are
compared without regard to case (store.py).
"""

from __future__ import annotations

from local_sagemaker.config import Config


def arn(config: Config, resource_type: str, name: str) -> str:
    """`arn:aws:sagemaker:us-east-1:000000000000:training-job/x`; deeper parts go into the name:
    `p/execution/1`.
    """
    return f"arn:aws:sagemaker:{config.region}:{config.account}:{resource_type}/{name.lower()}"


def is_arn(text: str) -> bool:
    return text.startswith("arn:")
