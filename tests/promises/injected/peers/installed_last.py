"""Another module's application, and after all of that the explicit `ullage.install()`; used without injection."""

import importlib
import os
import sys

app = importlib.import_module(os.environ["PEER"]).app

sys.path.append(os.environ["PEER_VOLUME"])
importlib.import_module("ullage").install()
