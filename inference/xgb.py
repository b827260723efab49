"""Imports XGBoost without scikit-learn and pandas.

`xgboost.compat` imports scikit-learn (and with it scipy.stats, pandas and pyarrow) whenever it is
installed, only to subclass its estimators, which neither training nor serving here uses: 3.4 s
of start-up instead of 0.65 s, and 100 MB. The names are hidden during that one import only, and
only where nobody has imported them yet.
"""

import sys
from types import ModuleType

UNUSED = ("sklearn", "pandas")


def import_xgboost() -> ModuleType:
    """The xgboost module; the first import in a process takes about 0.6 s."""
    hidden = [] if "xgboost" in sys.modules else [n for n in UNUSED if n not in sys.modules]
    # None in sys.modules is Python's documented way to say "importing this raises ImportError".
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import xgboost
    finally:
        for name in hidden:
            del sys.modules[name]
    return xgboost  # type: ignore[no-any-return]
