"""XGBoost's algorithm mode through boto3: `docker run <image> train` without a user's program."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest
import xgboost
from botocore.exceptions import ClientError

from local_sagemaker.containers import xgboost_parameters
from tests.local_sagemaker.training import (
    artifact,
    channel,
    csv,
    libsvm,
    log_of,
    request,
    rows,
)


def train(local: Any, hyperparameters: dict[str, str], *channels: Any, **changes: Any) -> Any:
    client = local.client()
    client.create_training_job(**request(local, hyperparameters, *channels, **changes))
    local.until("training-job", "job")
    return client.describe_training_job(TrainingJobName="job")


def booster(local: Any) -> xgboost.Booster:
    held = artifact(local)
    assert list(held) == ["xgboost-model"]
    return xgboost.Booster(model_file=bytearray(held["xgboost-model"]))


def test_it_trains_a_booster_and_reports_the_builtin_metrics(local: Any) -> None:
    job = train(local, {"num_round": "4", "max_depth": "2", "eval_metric": "rmse,mae,r2"})
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    model = booster(local)
    assert model.num_boosted_rounds() == 4
    assert model.num_features() == 2
    lines = [line for line in log_of(local).splitlines() if line.startswith("[3]\t")]
    assert [part.split(":")[0] for part in lines[0].split("\t")[1:]] == [
        "train-rmse",
        "train-mae",
        "train-r2",
        "validation-rmse",
        "validation-mae",
        "validation-r2",
    ]
    found = {each["MetricName"]: each["Value"] for each in job["FinalMetricDataList"]}
    assert set(found) == {
        f"{where}:{name}" for where in ("train", "validation") for name in ("rmse", "mae", "r2")
    }
    assert f"validation-rmse:{found['validation:rmse']:.5f}" in lines[0]
    definitions = job["AlgorithmSpecification"]["MetricDefinitions"]
    assert {"validation:auc", "validation:rmse"} <= {each["Name"] for each in definitions}


def test_libsvm_is_the_default_and_the_channels_may_differ_in_width(local: Any) -> None:
    narrow = "".join(f"{label} 0:{a}\n" for label, a, _ in rows(30, 2))
    train_uri, validation_uri = local.put("l/t", narrow), local.put("l/v", libsvm(rows()))
    train_channel = channel("train", train_uri)
    del train_channel["ContentType"]
    job = train(
        local,
        {"num_round": "2"},
        train_channel,
        channel("validation", validation_uri, "text/x-libsvm"),
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert booster(local).num_features() == 2


def test_parquet_of_several_files_is_read_as_one(local: Any) -> None:
    for part in ("a", "b"):
        raw = io.BytesIO()
        pd.DataFrame(rows(40), columns=["y", "a", "b"]).to_parquet(raw)
        local.s3.put_object(Bucket=local.bucket, Key=f"p/{part}.parquet", Body=raw.getvalue())
    local.put("p/_SUCCESS", "no data")
    job = train(
        local,
        {"num_round": "1"},
        channel("train", f"s3://{local.bucket}/p/", "application/x-parquet"),
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")


def test_csv_weights_and_another_delimiter_are_understood(local: Any) -> None:
    """Rows of weight 0 say nothing: the model is that of the others alone."""
    weighted = [(1.0, 1, a, b) for _, a, b in rows()] + [(99.0, 0, a, b) for _, a, b in rows()]
    uri = local.put("w/train.csv", csv(weighted, ";"))
    job = train(
        local,
        {"num_round": "1", "csv_weights": "1", "eta": "1", "lambda": "0"},
        channel("train", uri, "text/csv;label_size=1"),
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    prediction = booster(local).predict(xgboost.DMatrix([[0.5, 0.5]]))
    assert prediction[0] == pytest.approx(1.0)


def test_early_stopping_keeps_the_best_round(local: Any) -> None:
    uri = local.put("e/t.csv", csv(rows(20)))
    job = train(
        local,
        {"num_round": "500", "early_stopping_rounds": "3", "eta": "0.9", "lambda": "0"},
        channel("train", uri),
        channel("validation", local.put("e/v.csv", csv(rows(30, 3)))),
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    lines = [line for line in log_of(local).splitlines() if "validation-rmse:" in line]
    errors = [float(line.rpartition(":")[2]) for line in lines]
    assert len(errors) < 500
    kept = booster(local).num_boosted_rounds()
    assert kept < len(errors)
    assert errors[kept - 1] == min(errors)


def test_classes_are_counted_by_metrics_of_awss_own(local: Any) -> None:
    labelled = [(int(a > b) + int(a > 0.8), a, b) for _, a, b in rows()]
    job = train(
        local,
        {
            "num_round": "3",
            "objective": "multi:softprob",
            "num_class": "3",
            "eval_metric": "mlogloss",
            "_tuning_objective_metric": "validation:f1_macro",
        },
        channel("train", local.put("c/t.csv", csv(labelled))),
        channel("validation", local.put("c/v.csv", csv(labelled))),
    )
    found = {each["MetricName"]: each["Value"] for each in job["FinalMetricDataList"]}
    assert 0.5 < found["validation:f1_macro"] <= 1
    assert "validation:mlogloss" in found


@pytest.mark.parametrize(
    ("hyperparameters", "said"),
    [
        ({}, "Hyperparameter 'num_round' is required"),
        ({"num_round": "many"}, "Hyperparameter 'num_round': 'many' is not an integer"),
        ({"num_round": "0"}, "'num_round': '0' is not an integer within [1, inf)"),
        ({"num_round": "1", "etta": "1"}, "Unknown hyperparameter 'etta'"),
        ({"num_round": "1", "subsample": "0"}, "'subsample': '0' is not a number within (0, 1]"),
        ({"num_round": "1", "booster": "tree"}, "'booster': 'tree' is not one of gbtree"),
        ({"num_round": "1", "eval_metric": "rsme"}, "Metric 'rsme' is not supported"),
        ({"num_round": "1", "objective": "multi:softmax"}, "'num_class' is required"),
        ({"num_round": "1", "num_class": "3"}, "'num_class' is not for objective"),
        ({"num_round": "1", "eta": "nan"}, "'eta': 'nan' is not a number within [0, 1]"),
        ({"num_round": "1", "monotone_constraints": "1"}, "is not a list like"),
    ],
)
def test_a_wrong_hyperparameter_is_named(hyperparameters: dict[str, str], said: str) -> None:
    with pytest.raises(xgboost_parameters.UserError) as refused:
        xgboost_parameters.read(hyperparameters)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("given", "verbosity"),
    [({"silent": "0"}, None), ({"silent": "1"}, 0), ({"silent": "1", "verbosity": "2"}, 2)],
)
def test_the_old_name_of_verbosity_is_still_taken(
    given: dict[str, str], verbosity: int | None
) -> None:
    settings = xgboost_parameters.read({"num_round": "1", **given})
    assert settings.booster.get("verbosity") == verbosity
    assert "silent" not in settings.booster


def test_a_mistake_of_the_users_is_the_failure_reason(local: Any) -> None:
    uri = local.put("h/train.csv", "label,a,b\n1,2,3\n")
    job = train(local, {"num_round": "1"}, channel("train", uri))
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(
        "AlgorithmError: train.csv is not a CSV of numbers without a header"
    )
    assert job["FailureReason"].endswith("exit code: 1")


def test_data_that_xgboost_refuses_fails_without_a_stack_trace(local: Any) -> None:
    uri = local.put("h/train.csv", "5,2,3\n7,1,1\n")
    job = train(local, {"num_round": "1", "objective": "binary:logistic"}, channel("train", uri))
    assert "for the logistic loss" in job["FailureReason"]
    assert "Stack trace" not in job["FailureReason"]


def test_a_job_without_the_train_channel_says_so(local: Any) -> None:
    uri = local.put("h/x.csv", "5,2,3\n")
    job = train(local, {"num_round": "1"}, channel("training", uri))
    assert "Channel 'train' is required; given: training" in job["FailureReason"]


def test_a_stopped_job_keeps_its_last_round_when_asked(local: Any) -> None:
    wanted = request(local, {"num_round": "1000000", "save_model_on_termination": "true"})
    client = local.client()
    client.create_training_job(**wanted)
    model = local.plane.config.home / "jobs/training-job/job/model/xgboost-model"
    local.until_true(model.exists)
    client.stop_training_job(TrainingJobName="job")
    assert local.until("training-job", "job")["TrainingJobStatus"] == "Stopped"
    held = artifact(local)["xgboost-model"]
    assert xgboost.Booster(model_file=bytearray(held)).num_boosted_rounds() >= 1


def test_an_image_without_an_algorithm_asks_for_a_program(local: Any) -> None:
    from tests.local_sagemaker.training import SKLEARN

    algorithm = {"TrainingImage": SKLEARN, "TrainingInputMode": "File"}
    with pytest.raises(ClientError, match=r"scikit-learn has no algorithm.*sagemaker_program"):
        local.client().create_training_job(**request(local, {}, AlgorithmSpecification=algorithm))
