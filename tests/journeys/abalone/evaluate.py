"""Mean squared error on the test rows, in the registry's layout."""

import json
import tarfile
from pathlib import Path

import numpy as np
import xgboost

if __name__ == "__main__":
    base = Path("/opt/ml/processing")
    with tarfile.open(base / "model/model.tar.gz") as archive:
        archive.extractall(base / "unpacked", filter="data")
    booster = xgboost.Booster(model_file=str(base / "unpacked/xgboost-model"))
    table = np.loadtxt(base / "test/test.csv", delimiter=",")
    errors = booster.predict(xgboost.DMatrix(table[:, 1:])) - table[:, 0]
    report = {
        "regression_metrics": {
            "mse": {"value": float(np.mean(errors**2)), "standard_deviation": float(np.std(errors))}
        }
    }
    folder = base / "evaluation"
    folder.mkdir(exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(report))
