"""Algorithm mode of the XGBoost image at `serve`: real models, real requests to the function behind
the port, and one endpoint through the user's door.
"""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from local_sagemaker.containers import xgboost_answers, xgboost_serve
from local_sagemaker.containers.script_server import SetupError
from tests.local_sagemaker.hosting import ROLE, XGBOOST, ask, create_config, variant

xgboost = xgboost_serve.import_xgboost()
ROWS = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [2, 1, 0]], np.float32)


def trained(objective: str = "reg:squarederror", shift: float = 0.0, **params: Any) -> Any:
    classes = params.get("num_class", 2)
    labels = np.arange(len(ROWS)) % classes if objective.startswith(("bin", "mul")) else ROWS[:, 0]
    data = xgboost.DMatrix(ROWS, labels + shift)
    return xgboost.train({"objective": objective, "nthread": 1, **params}, data, 4)


def served(directory: Path, every: bool = True, **models: Any) -> Any:
    for name, booster in (models or {"xgboost-model": trained()}).items():
        path = directory / name.replace("_", "-")
        path.write_bytes(bytes(booster.save_raw("ubj")))
    return xgboost_serve.load(directory, every)


def answered(
    ensemble: Any, body: str, kind: str = "text/csv", accept: str = "", **environ: str
) -> tuple[int, str, str]:
    headers = Message()
    headers["Content-Type"] = kind
    if accept:
        headers["Accept"] = accept
    style = xgboost_answers.style(environ)
    status, content_type, said = xgboost_serve.answer(ensemble, style, body.encode(), headers)
    return status, content_type, said.decode()


def expected(booster: Any) -> list[float]:
    return [float(each) for each in booster.predict(xgboost.DMatrix(ROWS))]


CSV = "1,2,3\n4,5,6\n7,8,9\n2,1,0\n"
LIBSVM = "0 0:1 1:2 2:3\n0 0:4 1:5 2:6\n0:7 1:8 2:9\n0:2 1:1 2:0\n"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (CSV, "text/csv"),
        (CSV.replace(",", ";"), "text/csv; charset=utf-8"),
        (LIBSVM, "text/libsvm"),
        (LIBSVM, "text/x-libsvm"),
    ],
)
def test_every_format_gives_what_the_booster_predicts(tmp_path: Path, body: str, kind: str) -> None:
    status, content_type, said = answered(served(tmp_path), body, kind)
    assert (status, content_type) == (200, "text/csv")
    assert [float(line) for line in said.splitlines()] == expected(trained())


def test_an_empty_field_is_missing(tmp_path: Path) -> None:
    missing = np.array([[1, np.nan, 3]], np.float32)
    (wanted,) = trained().predict(xgboost.DMatrix(missing))
    assert answered(served(tmp_path), "1,,3")[2] == f"{float(wanted)}\n"


def test_json_and_json_lines_hold_scores(tmp_path: Path) -> None:
    ensemble, wanted = served(tmp_path), expected(trained())
    _, _, said = answered(ensemble, CSV, accept="application/json")
    assert json.loads(said) == {"predictions": [{"score": each} for each in wanted]}
    _, _, said = answered(ensemble, CSV, accept="application/jsonlines")
    assert [json.loads(line)["score"] for line in said.splitlines()] == wanted


def test_the_default_accept_is_the_containers(tmp_path: Path) -> None:
    environ = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json"}
    assert answered(served(tmp_path), CSV, accept="*/*", **environ)[1] == "application/json"


@pytest.mark.parametrize(
    ("body", "kind", "accept", "status", "word"),
    [
        ("", "text/csv", "", 204, ""),
        ("1,x,3", "text/csv", "", 415, "Loading text/csv data failed"),
        ("1,2\n1,2,3", "text/csv", "", 415, "Loading text/csv data failed"),
        ("1 2 3", "text/libsvm", "", 415, "no row has an index:value pair"),
        ("1 -1:3", "text/libsvm", "", 415, "-1 is negative"),
        ("[1,2,3]", "application/json", "", 415, "text/csv, text/libsvm"),
        ("1,2,3,4,5", "text/csv", "", 400, "Unable to evaluate payload"),
        ("1,2,3", "text/csv", "image/png", 406, "image/png"),
    ],
)
def test_what_cannot_be_answered_has_the_images_status(
    tmp_path: Path, body: str, kind: str, accept: str, status: int, word: str
) -> None:
    given, _, said = answered(served(tmp_path), body, kind, accept)
    assert given == status
    assert word in said


def test_the_models_of_a_cross_validation_answer_their_mean(tmp_path: Path) -> None:
    one, two = trained(), trained(shift=100.0)
    ensemble = served(tmp_path, xgboost_model_0=one, xgboost_model_1=two)
    said = [float(line) for line in answered(ensemble, CSV)[2].splitlines()]
    assert said == pytest.approx(
        [(a + b) / 2 for a, b in zip(expected(one), expected(two), strict=True)], rel=1e-6
    )
    alone = xgboost_serve.load(tmp_path, every=False)
    assert [float(line) for line in answered(alone, CSV)[2].splitlines()] == expected(one)


def test_chosen_keys_of_a_binary_model(tmp_path: Path) -> None:
    booster = trained("binary:logistic")
    ensemble = served(tmp_path, xgboost_model=booster)
    keys = {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label, probability,probabilities,labels"}
    _, _, said = answered(ensemble, CSV, accept="application/jsonlines", **keys)
    for line, chance in zip(said.splitlines(), expected(booster), strict=True):
        assert json.loads(line) == {
            "predicted_label": int(chance > 0.5),
            "probability": chance,
            "probabilities": [1.0 - chance, chance],
            "labels": [0, 1],
        }
    _, _, said = answered(ensemble, "1,2,3", **keys)
    chance = expected(booster)[0]
    assert said == f'{int(chance > 0.5)},{chance},"[{1.0 - chance}, {chance}]","[0, 1]"\n'


def test_chosen_keys_of_a_multiclass_model_and_of_a_regression(tmp_path: Path) -> None:
    keys = {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,labels,predicted_score"}
    softprob = served(tmp_path, xgboost_model=trained("multi:softprob", num_class=3))
    _, _, said = answered(softprob, "1,2,3", accept="application/json", **keys)
    ((only,)) = json.loads(said)["predictions"]
    assert (only["predicted_label"] in (0, 1, 2), only["labels"]) == (True, [0, 1, 2])
    assert np.isnan(only["predicted_score"])
    regression = served(tmp_path, xgboost_model=trained())
    _, _, said = answered(regression, "1,2,3", accept="application/json", **keys)
    ((only,)) = json.loads(said)["predictions"]
    assert only["predicted_score"] == expected(trained())[0]
    assert np.isnan(only["predicted_label"])


def test_a_batch_row_of_several_numbers_keeps_its_brackets(tmp_path: Path) -> None:
    softprob = served(tmp_path, xgboost_model=trained("multi:softprob", num_class=3))
    assert answered(softprob, "1,2,3", SAGEMAKER_BATCH="true")[2].startswith("[")
    assert answered(softprob, "1,2,3")[2].count(",") == 2


def test_a_pickle_is_refused_by_name_and_never_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "xgboost-model").write_bytes(pickle.dumps({"a": 1}))
    assert xgboost_serve.main({"SAGEMAKER_BASE_DIR": str(tmp_path)}) == 1
    assert "xgboost-model is a pickle" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "word"), [(None, "no model in"), ("zzz", "cannot be loaded")])
def test_a_model_that_is_not_there_or_broken_is_named(
    tmp_path: Path, content: str | None, word: str
) -> None:
    if content is not None:
        (tmp_path / "xgboost-model").write_text(content)
    with pytest.raises(SetupError, match=word):
        xgboost_serve.load(tmp_path, every=True)


def test_a_key_that_there_is_not_is_named_at_start() -> None:
    with pytest.raises(ValueError, match="'score' is none of: predicted_label"):
        xgboost_answers.style({"SAGEMAKER_INFERENCE_OUTPUT": "score"})


@pytest.fixture
def endpoint(local: Any, sagemaker: Any) -> Any:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        raw = bytes(trained().save_raw("json"))
        info = tarfile.TarInfo("xgboost-model")
        info.size = len(raw)
        tar.addfile(info, io.BytesIO(raw))
    local.s3.put_object(Bucket=local.bucket, Key="model.tar.gz", Body=buffer.getvalue())
    uri = f"s3://{local.bucket}/model.tar.gz"
    container = {"Image": XGBOOST, "ModelDataUrl": uri, "Environment": {"MAX_CONTENT_LENGTH": "9"}}
    sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    create_config(sagemaker, "e-1", variant("m"))
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="e-1")
    local.until("endpoint", "e", "InService")
    return local.client("sagemaker-runtime")


def test_an_endpoint_serves_a_model_without_a_script(endpoint: Any) -> None:
    assert float(ask(endpoint, "1,2,3")) == expected(trained())[0]
    with pytest.raises(endpoint.exceptions.ModelError, match="more than MAX_CONTENT_LENGTH 9"):
        ask(endpoint, "1,2,3," * 500_000)
    assert float(ask(endpoint, "1,2,3")) == expected(trained())[0]


def test_a_script_is_served_when_it_is_named_or_when_there_is_no_model(tmp_path: Path) -> None:
    code = tmp_path / "model" / "code"
    code.mkdir(parents=True)
    base = {"SAGEMAKER_BASE_DIR": str(tmp_path)}
    assert not xgboost_serve.has_script(base)
    (code / "inference.py").touch()
    assert xgboost_serve.has_script(base)
    (tmp_path / "model" / "xgboost-model").touch()
    assert not xgboost_serve.has_script(base)
    assert xgboost_serve.has_script({**base, "SAGEMAKER_PROGRAM": "inference.py"})
