"""The code that answers requests; ships alone into a container.

AWS's XGBoost image looks for `model_fn` and `transform_fn` in the module `inference`, which this
package is (`program.py` says more); they are handed out on demand, so that importing the package
loads nothing.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name not in ("model_fn", "transform_fn"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from inference import script

    return getattr(script, name)
