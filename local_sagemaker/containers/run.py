"""Run one of the containers beside this file: `python .../containers/run.py script_server`.

By path, not by -m: the user's program must not find our packages on its module path, so that our
folder is on it only while the container is imported.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    container = importlib.import_module(f"local_sagemaker.containers.{sys.argv[1]}")
    del sys.path[0]
    sys.exit(container.main(os.environ))
