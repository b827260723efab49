"""Split abalone into train, validation, test and batch; label first, no header, one-hot sex.

With `--input-data s3://...` it fetches the table itself.
"""

import argparse
from pathlib import Path

import boto3
import numpy as np
import pandas as pd

COLUMNS = ["sex", "length", "diameter", "height", "whole", "shucked", "viscera", "shell", "rings"]

if __name__ == "__main__":
    base = Path("/opt/ml/processing")
    parser = argparse.ArgumentParser()
    parser.add_argument("--input-data")
    uri = parser.parse_args().input_data
    if uri:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        (base / "input").mkdir(exist_ok=True)
        boto3.resource("s3").Bucket(bucket).download_file(key, str(base / "input" / "table.csv"))
    frame = pd.read_csv(next((base / "input").glob("*.csv")), header=None, names=COLUMNS)
    target = frame.pop("rings")
    table = pd.concat([target, pd.get_dummies(frame, columns=["sex"], dtype=float)], axis=1)
    order = np.random.default_rng(0).permutation(len(table))
    cuts = [int(0.7 * len(table)), int(0.85 * len(table))]
    for name, rows in zip(("train", "validation", "test"), np.split(order, cuts), strict=True):
        folder = base / name
        folder.mkdir(exist_ok=True)
        table.iloc[rows].to_csv(folder / f"{name}.csv", header=False, index=False)
    batch = base / "batch"
    batch.mkdir(exist_ok=True)
    table.iloc[order[cuts[1] :]].drop(columns="rings").to_csv(
        batch / "batch.csv", header=False, index=False
    )
