"""Connection pools, stale connections and session leaks, on Prometheus."""

from ullage.install import install

__all__ = ["__version__", "install"]

__version__ = "0.1.0"
