"""Found by way of PYTHONPATH when Python starts: wait for the libraries that are measured, then step aside.

Copied into a volume as sitecustomize.py, and as usercustomize.py for when another injector's sitecustomize hides it.
Whatever Python an image has reads this file, Python 2 included: no annotations, no f-strings, no functions.
"""

# For the same reason; and to import pathlib takes longer than all that this file does.
# ruff: noqa: PTH100, PTH120, UP036

import os
import sys

# Read by ullage.inject.report(): why this process is not measured, and where the package is.
reason = ""
root = ""

if __name__ in ("sitecustomize", "usercustomize"):
    # Under a name of its own, because the one that it was found by is the application's. First, so that all is undone.
    _own = sys.modules["_ullage_" + __name__] = sys.modules.pop(__name__)
    # Else the next one would be this one again.
    _directory = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if entry != _directory]
    try:
        root = os.path.dirname(_directory)
        if os.environ.get("ULLAGE_ENABLED", "").strip().lower() in ("0", "false", "no", "off"):
            reason = "ULLAGE_ENABLED=" + os.environ["ULLAGE_ENABLED"]
        elif sys.version_info < (3, 8):
            reason = "Python " + sys.version.split()[0] + " is too old; ullage needs 3.10"
        else:
            sys.path.insert(0, _directory)
            try:
                _hook = __import__("_ullage_hook")
            finally:
                sys.path.remove(_directory)
            # At the end, so that the application's packages win.
            if root not in sys.path:
                sys.path.append(root)
            reason = _hook.wait(root)
    except BaseException as error:  # noqa: BLE001 - whatever is wrong here, the application starts
        reason = type(error).__name__ + ": " + str(error)
    # What Python would have found, run and complained about without this one.
    try:
        __import__(__name__)
    except BaseException as error:
        sys.modules.setdefault(__name__, _own)
        # New Relic's sitecustomize executes this one in its own module, and takes no error for "there is no next one".
        _spec = globals().get("__spec__")
        if getattr(_spec, "_initializing", _spec is None) or getattr(error, "name", None) != __name__:
            raise
