"""What a Lambda function finds installed: what AWS's Python runtimes bring, and nothing of ours."""

from __future__ import annotations

import json
from typing import Any

from tests.local_sagemaker.conftest import ROLE, new_client
from tests.local_sagemaker.test_lambda_steps import zipped

BODY = """import boto3, importlib.util
    client = boto3.client("sagemaker")
    found = [name for name in event["names"] if importlib.util.find_spec(name)]
    return {"endpoint": client.meta.endpoint_url, "found": found}"""


def test_a_function_has_boto3_and_finds_the_local_sagemaker_but_has_nothing_of_ours(
    s3_endpoint: str,
) -> None:
    client = new_client("lambda", s3_endpoint)
    client.create_function(
        FunctionName="looks",
        Runtime="python3.12",
        Role=ROLE,
        Handler="main.handler",
        Timeout=30,
        Code={"ZipFile": zipped(BODY)},
    )
    names = ["boto3", "numpy", "pandas", "sagemaker", "local_sagemaker"]
    answer: Any = client.invoke(FunctionName="looks", Payload=json.dumps({"names": names}).encode())
    found = json.loads(answer["Payload"].read())
    client.delete_function(FunctionName="looks")
    client.close()
    assert found == {"endpoint": "http://127.0.0.1:8600", "found": ["boto3"]}
