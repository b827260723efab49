"""What the environment says of how endpoints wait and what they keep."""

from __future__ import annotations

import pytest

from local_sagemaker.config import SettingError, hosting


def test_what_is_set_is_used_and_nothing_else() -> None:
    environ = {
        "LOCAL_SAGEMAKER_LOADED_MODELS": "3",
        "LOCAL_SAGEMAKER_SERVERLESS_IDLE_SECONDS": "0.5",
        "LOCAL_SAGEMAKER_LOADING_SECONDS": "",
    }
    assert hosting(environ) == {"loaded_models": 3, "serverless_idle_seconds": 0.5}


@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "inf"])
@pytest.mark.parametrize("name", ["LOADED_MODELS", "LOADING_SECONDS", "SERVERLESS_IDLE_SECONDS"])
def test_a_value_that_means_nothing_is_refused_by_name(name: str, value: str) -> None:
    said = f"LOCAL_SAGEMAKER_{name}={value} must be a number above 0"
    with pytest.raises(SettingError, match=said):
        hosting({f"LOCAL_SAGEMAKER_{name}": value})
