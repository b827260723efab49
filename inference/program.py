"""Shipped as `code/inference.py`: the file that SAGEMAKER_PROGRAM names in AWS's XGBoost image.

The image imports it as the module `inference`, the very name of the package beside it. Python
takes the package when both lie in one folder; where the image installs this file alone, it becomes
the package itself by pointing `__path__` at the modules.
"""

import os
from pathlib import Path

_FOLDERS = (Path(__file__).parent, Path(os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", ".")))
__path__ = [str(folder / "inference") for folder in _FOLDERS]

from inference.script import model_fn, transform_fn  # noqa: E402  needs __path__

__all__ = ["model_fn", "transform_fn"]
