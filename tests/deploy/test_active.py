"""What Parameter Store says of versions is anybody's to write: nonsense in it is named."""

import pytest

from deploy import active
from deploy.commands import DeployError
from deploy.requests import Requests
from deploy.work import Work
from pipelines.settings import Settings
from steps.problem import load
from tests.deploy.conftest import Parameters
from tests.deploy.test_endpoint import TELCO

PLACE = Settings("local", "us-east-1", "", "", "b", {})


@pytest.mark.parametrize("text", ["{", "[]", "v3"])
def test_metadata_that_is_no_object_is_refused_by_name(text: str, parameters: Parameters) -> None:
    work = Work(PLACE, load(TELCO), "telco-churn", "telco-churn", Requests())
    work.__dict__["ssm"] = parameters
    name = f"/ml-pipeline/models/{work.problem.name}/versions/v3/metadata"
    parameters.values[name] = text
    with pytest.raises(DeployError, match="is no JSON object; mend or delete it") as refused:
        active.metadata(work, "v3")
    assert name in str(refused.value)
