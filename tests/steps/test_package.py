"""package: what is in the bundle, and that equal models give equal bytes."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from inference import model
from steps import artifact, package


def test_the_bundle_holds_models_transform_and_code(shop: Any) -> None:
    files = _files(_bundle(shop))
    models = {
        f"models/{name}/{part}" for name in ("score", "left", "pick", "odd") for part in MEMBERS
    }
    assert {name for name in files if not name.startswith("code/inference/")} == models | {
        "bundle.json",
        "transform.json",
        "code/inference.py",
        "code/requirements.txt",
    }
    assert "code/inference/server.py" in files
    assert b"pickle" not in b"".join(v for k, v in files.items() if k.startswith("code/"))
    for name in ("score", "pick"):
        trained = (shop.folder / f"train-{name}/model/model.ubj").read_bytes()
        assert files[f"models/{name}/model.ubj"] == trained


def test_bundle_json_says_what_is_inside(shop: Any) -> None:
    content = json.loads(_files(_bundle(shop))["bundle.json"])
    assert content["problem"] == "shop"
    assert content["xgboost_version"] == "3.2.0"
    assert [entry["name"] for entry in content["models"]] == ["score", "left", "pick", "odd"]
    assert content["models"][1]["metric"] == "auc"
    assert 0.6 < content["models"][1]["value"] < 1


def test_two_runs_give_identical_bytes_without_times_or_owners(shop: Any) -> None:
    first = _bundle(shop).read_bytes()
    assert shop.package().read_bytes() == first
    assert first[4:8] == b"\0\0\0\0"
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(first))) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}


def test_serving_loads_what_package_wrote(shop: Any, tmp_path: Path) -> None:
    with tarfile.open(_bundle(shop)) as archive:
        archive.extractall(tmp_path, filter="data")
    bundle = model.load(tmp_path)
    assert [served.name for served in bundle.models] == ["score", "left", "pick", "odd"]


def test_another_model_gives_another_version(make_shop: Any) -> None:
    made = make_shop()
    made.run_all()
    first = json.loads(_files(_bundle(made))["bundle.json"])["version"]
    metadata = made.folder / "train-left/model/metadata.json"
    content = json.loads(metadata.read_text("utf-8"))
    metadata.write_text(json.dumps({**content, "best_iteration": 999}), encoding="utf-8")
    made.package()
    assert json.loads(_files(_bundle(made))["bundle.json"])["version"] != first


def test_models_of_different_xgboost_versions_are_refused(make_shop: Any) -> None:
    made = make_shop()
    made.run_all()
    metadata = made.folder / "train-left/model/metadata.json"
    content = json.loads(metadata.read_text("utf-8"))
    metadata.write_text(json.dumps({**content, "xgboost_version": "3.0.5"}), encoding="utf-8")
    with pytest.raises(package.PackageError, match=r"different versions of xgboost: 3.0.5, 3.2.0"):
        made.package()


def test_a_model_that_was_not_judged_is_refused(make_shop: Any) -> None:
    made = make_shop()
    made.run_all()
    path = made.folder / "evaluate/processing/output/evaluation/evaluation.json"
    evaluation = json.loads(path.read_text("utf-8"))
    del evaluation["models"]["odd"]
    path.write_text(json.dumps(evaluation), encoding="utf-8")
    with pytest.raises(package.PackageError, match='nothing of model "odd"'):
        made.package()


MEMBERS = ("metadata.json", "model.ubj")


def test_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(b"not an archive")
    with pytest.raises(artifact.ArtifactError, match="is not a model archive"):
        artifact.read(path)


def test_a_link_in_place_of_the_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("model.ubj")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("metadata.json"))
    with pytest.raises(artifact.ArtifactError, match=r"holds no model.ubj"):
        artifact.read(path)


def _bundle(shop: Any) -> Path:
    return Path(shop.folder / "package/processing/output/bundle/model.tar.gz")


def _files(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        opened = {member.name: archive.extractfile(member) for member in archive}
        return {name: file.read() for name, file in opened.items() if file}
