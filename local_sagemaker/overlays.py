"""Overlays: what jobs install with pip, outside our environment and kept for the next job.

<home>/overlays/<key>/  one set of requirements, installed once (containers/pip_overlay.py)
<home>/shims/           the `pip` that jobs find first, as a command and as `python -m pip`
/opt/ml/tmp/site/       in each job, on PYTHONPATH: links to the overlays that it asked for
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SITE = "/opt/ml/tmp/site"
PROGRAM = Path(__file__).parent / "containers" / "pip_overlay.py"
COMMAND = '#!/bin/sh\nexec python3 -m pip "$@"\n'
MAIN = """\
import runpy, sys
from pathlib import Path
program = runpy.run_path({program!r}, run_name="pip_overlay")
sys.exit(program["main"](sys.argv[1:], Path({overlays!r}), Path({shim!r})))
"""
# `import pip` works; its internals do not, because they would install into our environment.
PACKAGE = """\
from importlib.metadata import version
__version__ = version("pip")
def main(arguments=None):
    import subprocess, sys
    given = sys.argv[1:] if arguments is None else arguments
    return subprocess.call([sys.executable, "-m", "pip", *given])
"""


def write_shims(home: Path) -> None:
    """At the start of the server: the `pip` of its jobs."""
    python = home / "shims" / "python"
    texts = {"program": str(PROGRAM), "overlays": str(home / "overlays"), "shim": str(python)}
    (python / "pip").mkdir(parents=True, exist_ok=True)
    (python / "pip" / "__init__.py").write_text(PACKAGE)
    (python / "pip" / "__main__.py").write_text(MAIN.format(**texts))
    commands = home / "shims" / "bin"
    commands.mkdir(exist_ok=True)
    for name in ("pip", "pip3"):
        (commands / name).write_text(COMMAND)
        (commands / name).chmod(0o755)


def path(home: Path) -> tuple[str, ...]:
    """What comes first on a job's PATH: our pip, then the commands of what it installed."""
    return (str(home / "shims" / "bin"), f"{SITE}/bin")


def environment(home: Path, env: Mapping[str, str]) -> dict[str, str]:
    """A job's environment with the module path on which it finds our pip and its overlays."""
    given = env.get("PYTHONPATH", "")
    parts = [str(home / "shims" / "python"), *([given] if given else []), SITE]
    # A pip that is called around ours finds our environment read-only, and must not take the
    # user's own instead.
    ours = {"PYTHONPATH": os.pathsep.join(parts), "LOCAL_SAGEMAKER_SITE": SITE, "PIP_USER": "0"}
    return {**env, **ours}
