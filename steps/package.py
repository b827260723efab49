"""Step 5: puts the models of a problem into the one bundle that is deployed.

    processing/input/{transform,evaluation}/, processing/input/models/<model>/model.tar.gz
      -> processing/output/bundle/model.tar.gz

    bundle.json  transform.json  models/<model>/{model.ubj, metadata.json}
    code/{inference.py, inference/*.py, requirements.txt}

No pickle inside, and equal models give equal bytes. `inference/model.py` reads it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference import transform
from steps import artifact, job

# The image that serves holds numpy and the xgboost that trained; model.py refuses any other.
REQUIREMENTS = "# Nothing to install: numpy and xgboost=={version} are in the image.\n"


class PackageError(Exception):
    """The bundle cannot be made."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = job.parser("package", "Make the bundle that is deployed.")
    root = parser.parse_args(argv).root / "processing"
    plan = json.loads((root / "input/transform/models.json").read_text("utf-8"))
    names = [model["name"] for model in plan["models"]]
    trained = {n: artifact.read(root / "input/models" / n / "model.tar.gz") for n in names}
    evaluation = json.loads((root / "input/evaluation/evaluation.json").read_text("utf-8"))
    files = {"transform.json": (root / "input/transform/transform.json").read_bytes()}
    for name, model in trained.items():
        files[f"models/{name}/model.ubj"] = model.booster
        files[f"models/{name}/metadata.json"] = _json(model.metadata)
    version = _version(trained)
    files |= _code(version)
    bundle = {
        "problem": plan["problem"],
        "version": _digest(files),
        "xgboost_version": version,
        "models": [_entry(name, model.metadata, evaluation) for name, model in trained.items()],
    }
    files["bundle.json"] = _json(bundle)
    path = root / "output/bundle/model.tar.gz"
    artifact.write(path, files)
    print(f"package: {len(names)} models, version {bundle['version']}, {path.stat().st_size} bytes")
    return 0


def _entry(name: str, metadata: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, Any]:
    judged = evaluation["models"].get(name)
    if judged is None:
        raise PackageError(
            f'evaluation.json says nothing of model "{name}"; it judged'
            f" {', '.join(evaluation['models'])}. Evaluate the models that are packaged"
        )
    metric = judged["metric"]
    return {
        "name": name,
        "kind": metadata["kind"],
        "target": metadata["target"],
        "metric": metric,
        "value": judged["metrics"][metric]["value"],
    }


def _version(trained: Mapping[str, artifact.Artifact]) -> str:
    versions = sorted({model.metadata["xgboost_version"] for model in trained.values()})
    if len(versions) != 1:
        raise PackageError(
            f"the models were trained with different versions of xgboost: {', '.join(versions)};"
            " one bundle is served by one version"
        )
    return str(versions[0])


def _code(version: str) -> dict[str, bytes]:
    """The serving code, as it lies beside the steps that run now."""
    folder = Path(transform.__file__).parent
    files = {f"code/inference/{path.name}": path.read_bytes() for path in folder.glob("*.py")}
    files["code/inference.py"] = files["code/inference/program.py"]
    files["code/requirements.txt"] = REQUIREMENTS.format(version=version).encode()
    return files


def _digest(files: Mapping[str, bytes]) -> str:
    """12 hex digits that change with any file: the version that answers carry."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()[:12]


def _json(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()
