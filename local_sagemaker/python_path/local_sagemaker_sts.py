"""A plugin of botocore: an STS client that was given AWS's address goes where AWS_ENDPOINT_URL
says.

The SageMaker SDK gives it that address itself, so that no variable of AWS's could lead its calls of
STS elsewhere. botocore loads this module into each program that runs with the variables of `python
-m local_sagemaker env`: PYTHONPATH names this folder, BOTOCORE_EXPERIMENTAL__PLUGINS this module.
Imports nothing, and does nothing without AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

AWS = (".amazonaws.com", ".amazonaws.com.cn")


def initialize_client_plugin(client: Any) -> None:
    """Called by botocore for every client it has made."""
    if client.meta.service_model.service_name == "sts":
        client.meta.events.register("before-call.sts", lead_home)


def lead_home(params: dict[str, Any], **_: Any) -> None:
    """Before a request is made of `params`, and signed."""
    here = os.environ.get("AWS_ENDPOINT_URL_STS") or os.environ.get("AWS_ENDPOINT_URL")
    host = urlsplit(params["url"]).hostname or ""
    if here and host.endswith(AWS):
        params["url"] = here.rstrip("/") + params["url_path"]
