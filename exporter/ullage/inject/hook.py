"""Call a function right after a library was imported: a finder in sys.meta_path, gone when nothing is waited for.

Every start of Python in an injected container pays for this file, so it imports nothing; and Python 3.8 can read it, to
say that it is too old. It is copied into the volume under the name `_ullage_hook`, beside `sitecustomize`.
"""

import sys
from _thread import get_ident  # not threading: gevent wants to patch that before it is used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

LIBRARIES = ("sqlalchemy", "flask", "rq")
OLDEST = (3, 10)


class Hook:
    """Wait for modules. `imported` is called with the name of each, once it has been executed without an error."""

    def __init__(self, names: "Iterable[str]", imported: "Callable[[str], None]") -> None:
        self.waiting = set(names)
        self._imported = imported
        self._finding: set[tuple[int, str]] = set()

    def put_on(self) -> None:
        """Begin to wait."""
        sys.meta_path.insert(0, self)

    def take_off(self) -> None:
        """Wait no longer. Makes a new list: a thread that goes through the old one would skip a finder."""
        self.waiting.clear()
        sys.meta_path = [finder for finder in sys.meta_path if finder is not self]

    def find_spec(self, name: str, path: "Sequence[str] | None" = None, target: "Any" = None) -> "ModuleSpec | None":
        """Called by the import system for every module that is not loaded yet."""
        if name not in self.waiting:
            return None
        asked = (get_ident(), name)
        if asked in self._finding or self not in sys.meta_path:
            return None  # by another finder that looks for the same module, as this one does
        self._finding.add(asked)
        try:
            spec = self._find(name, path, target)
        finally:
            self._finding.discard(asked)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = Loader(spec.loader, self)  # type: ignore[assignment]
        return spec

    def _find(self, name: str, path: "Sequence[str] | None", target: "Any") -> "ModuleSpec | None":
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find_spec = getattr(finder, "find_spec", None)
            if find_spec is None:
                return None  # Python before 3.12 can ask such a finder: let it
            spec: ModuleSpec | None = find_spec(name, path, target)
            if spec is not None:
                return spec
        return None

    def executed(self, name: str) -> None:
        """Called when a module has been executed."""
        if name in self.waiting:
            self.waiting.discard(name)
            if not self.waiting:
                self.take_off()
            self._imported(name)


class Loader:
    """Stands in for a module's loader until it executes the module; from then on the module knows its own loader."""

    def __init__(self, loader: "Any", hook: Hook) -> None:
        self._loader = loader
        self._hook = hook

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    @property  # type: ignore[misc]
    def __class__(self) -> "Any":
        """Be an instance of what the loader is one of, for whoever finds the module and does not import it."""
        return type(self._loader)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """Called by the import system."""
        found: ModuleType | None = self._loader.create_module(spec)
        return found

    def exec_module(self, module: "ModuleType") -> None:
        """Called by the import system."""
        spec = getattr(module, "__spec__", None)
        if spec is not None and spec.loader is self:
            spec.loader = self._loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._hook.executed(module.__name__)


# Python leaves the import system's own frames out of a traceback and of what a warning's `stacklevel` counts.
Loader.exec_module.__code__ = Loader.exec_module.__code__.replace(co_filename="<frozen importlib._bootstrap>")


def wait(root: str) -> str:
    """Wait for the first of the libraries, to have it measured by the package in `root`; return why it will not be.

    Called by sitecustomize.
    """
    reason = ""
    if sys.version_info < OLDEST or sys.implementation.name != "cpython":
        version = ".".join(map(str, sys.version_info[:3]))
        reason = f"it needs CPython 3.10 or later, and this is {sys.implementation.name} {version}"

    def imported(name: str) -> None:
        if reason:
            _complain(hook, reason)
        else:
            _measure(hook, root, name)

    hook = Hook(LIBRARIES, imported)
    hook.put_on()
    for name in LIBRARIES:
        if name in sys.modules:  # a .pth file may have imported it
            hook.executed(name)
    return reason


def _measure(hook: Hook, root: str, name: str) -> None:
    """Let the package, the application's own copy where it has one, go on from here: it waits for the others itself."""
    if root not in sys.path:
        sys.path.append(root)
    try:
        from ullage.probe.install import library_imported
    except Exception as error:
        if type(error).__module__ != "builtins":
            raise  # RQ's timer, in a job that imports the library, or another signal's handler
        _complain(hook, f"{type(error).__name__}: {error}")
        return
    hook.take_off()
    library_imported(name)


def _complain(hook: Hook, reason: str) -> None:
    """Say, once a process, why it is not measured."""
    hook.take_off()
    for name in ("_ullage_sitecustomize", "_ullage_usercustomize"):
        if name in sys.modules:
            sys.modules[name].reason = reason  # type: ignore[attr-defined]
    if sys.stderr is not None:
        try:  # noqa: SIM105 - contextlib is a module more to import
            sys.stderr.write(f"ullage is off: {reason}\n")
        except (OSError, ValueError):
            pass
