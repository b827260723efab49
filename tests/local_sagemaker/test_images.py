"""The table of images: what an image URI means on this machine, and what is refused."""

from __future__ import annotations

import pytest

from local_sagemaker import images
from local_sagemaker.errors import ApiError

XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"


def test_account_and_region_do_not_matter() -> None:
    other = "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.2-0"
    assert images.resolve(XGBOOST, {}) == images.resolve(other, {})


def test_the_installed_version_runs_without_a_note() -> None:
    assert images.resolve(XGBOOST, {}).notes == ()
    assert images.resolve(XGBOOST, {}).tag == "3.2-0"


@pytest.mark.parametrize("tag", [":1.7-1", ""])
def test_another_tag_runs_with_a_warning_that_names_both_versions(tag: str) -> None:
    image = images.resolve(f"1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost{tag}", {})
    (note,) = image.notes
    assert "3.2-0" in note
    assert (tag[1:] or "no tag") in note


def test_a_digest_and_a_bare_name_are_understood() -> None:
    assert images.resolve("mlops-inference", {}).name == "mlops-inference"
    assert (
        images.resolve(f"1.dkr.ecr.x.amazonaws.com/mlops-inference@sha256:{'0' * 64}", {}).tag == ""
    )
    assert images.resolve("localhost:5000/team/mlops-inference:7", {}).tag == "7"


def test_our_own_image_serves_from_the_code_of_the_model() -> None:
    image = images.resolve("1.dkr.ecr.us-east-1.amazonaws.com/mlops-inference:latest", {})
    assert image.serve_command() == ["python3", "-m", "inference.server"]
    assert image.serve_cwd == "/opt/ml/model/code"


def test_an_unknown_image_is_an_error_that_names_it_and_the_table() -> None:
    with pytest.raises(
        ApiError, match=r"my-team/tool.*sagemaker-scikit-learn, sagemaker-xgboost"
    ) as refused:
        images.resolve("1.dkr.ecr.us-east-1.amazonaws.com/my-team/tool:1", {})
    assert refused.value.code == "ValidationException"
    assert "local_sagemaker/images.py" in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-spark-processing:3.5", "Spark"),
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5", "PyTorch"),
    ],
)
def test_known_images_that_do_not_run_here_are_refused_by_name(uri: str, word: str) -> None:
    with pytest.raises(ApiError, match=word):
        images.resolve(uri, {})


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("sagemaker-model-monitor-analyzer", "Model Monitor's analyzer"),
        ("sagemaker-clarify-processing:1.0", "Clarify"),
    ],
)
def test_an_analyzer_has_no_command_of_its_own_yet(name: str, title: str) -> None:
    image = images.resolve(f"1.dkr.ecr.us-east-1.amazonaws.com/{name}", {})
    with pytest.raises(ApiError, match=f"{title} is not supported yet"):
        image.process_command()


def test_an_image_without_an_algorithm_is_refused_by_name() -> None:
    image = images.resolve(
        "1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3", {}
    )
    assert image.train_command(script=True)[1].endswith("script_train.py")
    with pytest.raises(ApiError, match=r"scikit-learn has no algorithm.*sagemaker_program"):
        image.train_command()
