"""The code bundle: its address follows its content, and its pins cover what the steps import."""

import ast
import os
import shutil
import sys
from pathlib import Path

import pytest

from pipelines import bundle
from pipelines.bundle import BundleError
from steps.problem import Problem

PROJECT = Path(__file__).resolve().parents[2]
# Import name -> the name that requirements.lock knows.
DISTRIBUTIONS = {
    "great_expectations": "great-expectations",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}

# inference.transform brings a function along that imports xgboost when it is called.
NEVER_REACHED = {"prepare": {"xgboost"}, "package": {"xgboost"}}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for room in bundle.ROOMS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / room, tmp_path / room, ignore=ignored)
    return tmp_path


def test_equal_code_has_an_equal_address(telco: Problem, checkout: Path) -> None:
    before = bundle.build(telco, checkout).uri("a-bucket", "telco-churn")
    (checkout / "steps" / "__pycache__").mkdir()
    (checkout / "steps" / "__pycache__" / "train.pyc").write_bytes(b"x")
    assert bundle.build(telco, checkout).uri("a-bucket", "telco-churn") == before
    assert before.startswith("s3://a-bucket/telco-churn/code/")


def test_equal_code_is_uploaded_as_equal_bytes(telco: Problem, checkout: Path) -> None:
    for path in checkout.rglob("*.py"):
        os.utime(path, (1, 1))
    assert bundle.build(telco, checkout).objects() == bundle.build(telco).objects()


@pytest.mark.parametrize("name", ["steps/train.py", "inference/model.py", "steps/run.py"])
def test_changed_code_has_another_address(telco: Problem, checkout: Path, name: str) -> None:
    before = bundle.build(telco, checkout).sha256
    (checkout / name).write_text("# changed\n")
    assert bundle.build(telco, checkout).sha256 != before


@pytest.mark.parametrize("name", ["steps/generate.py", "inference/handlers/approval.py"])
def test_code_that_no_job_runs_does_not_change_the_address(
    telco: Problem, checkout: Path, name: str
) -> None:
    before = bundle.build(telco, checkout).sha256
    (checkout / name).write_text("# changed\n")
    assert bundle.build(telco, checkout).sha256 == before


def test_a_changed_problem_has_another_address(telco: Problem, checkout: Path) -> None:
    other = telco.model_copy(update={"description": "another"})
    assert bundle.build(other, checkout).sha256 != bundle.build(telco, checkout).sha256


def test_a_bundle_is_what_run_py_expects_around_itself(telco: Problem) -> None:
    files = bundle.build(telco).files
    assert files["run.py"] == (PROJECT / "steps" / "run.py").read_bytes()
    assert files["problem.json"].decode() == telco.to_json()
    assert {"steps/train.py", "inference/transform.py", "requirements-train.txt"} <= set(files)


@pytest.mark.parametrize("step", sorted(bundle.REQUIREMENTS))
def test_what_a_step_imports_is_what_it_pins(telco: Problem, step: str) -> None:
    files = bundle.build(telco).files
    pinned = {
        line.partition("==")[0] for line in files[f"requirements-{step}.txt"].decode().split()
    }
    imported = outside(files, f"steps/{step}.py", set()) - NEVER_REACHED.get(step, set())
    assert {DISTRIBUTIONS.get(name, name) for name in imported} == pinned


def outside(files: dict[str, bytes], name: str, seen: set[str]) -> set[str]:
    """Top-level packages that a file imports, itself or through files of the bundle."""
    if name in seen or name not in files:
        return set()
    seen.add(name)
    found: set[str] = set()
    for node in ast.walk(ast.parse(files[name])):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module in modules:
            top = module.partition(".")[0]
            if top in bundle.ROOMS:
                found |= outside(files, f"{module.replace('.', '/')}.py", seen)
            elif top not in sys.stdlib_module_names:
                found.add(top)
    return found


def test_xgboost_is_pinned_under_the_name_that_awss_image_has(telco: Problem) -> None:
    pins = bundle.build(telco).files["requirements-train.txt"].decode().split()
    assert "xgboost==3.2.0" in pins
    assert not any(pin.startswith("xgboost-cpu") for pin in pins)


def test_pins_of_other_pythons_are_left_out() -> None:
    text = (
        "a==1.0 ; python_version < '3' \\\n    --hash=sha256:0\n"
        "a==2.0 ; python_version >= '3' \\\n    --hash=sha256:1\n"
        "B_c==3.1 \\\n"
    )
    assert bundle.parse_pins(text) == {"a": "2.0", "b_c": "3.1"}


def test_a_missing_pin_names_the_step(telco: Problem, checkout: Path) -> None:
    lock = checkout / "requirements.lock"
    lock.write_text("numpy==1.0\n")
    with pytest.raises(BundleError, match="pins no great-expectations, which step validate needs"):
        bundle.build(telco, checkout, lock)


def test_a_missing_file_is_named(telco: Problem, checkout: Path) -> None:
    (checkout / "steps" / "run.py").unlink()
    with pytest.raises(BundleError, match=r"steps/run\.py: No such file"):
        bundle.build(telco, checkout)
