"""The import hook: each module is imported as it would be without it, and then its name is told, once."""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import importlib.util
import inspect
import pkgutil
import sys
import threading
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ullage.inject.hook import Hook, Loader

PACKAGE = {
    "shop____init__": "from shop import stock\nVALUE = 42\ndef price():\n    return VALUE\n",
    "shop__stock": "import shop\n",
}


class Waiting:
    """Hooks that are taken off after the test, and what they told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.hooks: list[Hook] = []

    def wait(self, *names: str, imported: Callable[[str], None] | None = None) -> Hook:
        hook = Hook(names, imported or self.told.append)
        hook.put_on()
        self.hooks.append(hook)
        return hook


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Give a function that writes modules where Python finds them; they are forgotten after the test."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            path = tmp_path / (name.replace("__init__", "\0").replace("__", "/").replace("\0", "__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def waiting(modules) -> Waiting:
    """Give hooks."""
    return Waiting()


class TestImport:
    """What an imported module knows of itself is what it would be."""

    def test_the_name_is_told_after_the_module_was_executed(self, modules, waiting):
        """The function sees the whole module; then the hook is gone, as nothing is waited for."""
        modules(shop="VALUE = 42\n")
        seen: list[Any] = []
        hook = waiting.wait("shop", imported=lambda name: seen.append(vars(sys.modules[name])["VALUE"]))
        assert hook in sys.meta_path
        importlib.import_module("shop")
        assert seen == [42]
        assert hook not in sys.meta_path

    def test_other_modules_are_none_of_its_business(self, modules, waiting):
        """The hook stays while something is waited for, and finds nothing else."""
        modules(shop="", other="")
        hook = waiting.wait("shop")
        importlib.import_module("other")
        assert hook in sys.meta_path
        assert waiting.told == []

    def test_loader_and_spec_are_pristine(self, modules, waiting):
        """The module has its own loader, while it is executed too, so that files, source and resources are found."""
        text = "LOADER = __loader__\nSPEC_LOADER = __spec__.loader\ndef price():\n    return 1\n"
        path = modules(shop____init__=text)
        (path / "shop" / "data.txt").write_text("data")
        waiting.wait("shop")
        shop = importlib.import_module("shop")
        loader = shop.__loader__
        assert type(loader) is importlib.machinery.SourceFileLoader
        assert shop.__spec__.loader is loader
        assert shop.LOADER is shop.SPEC_LOADER is loader
        assert inspect.getsource(shop.price) == "def price():\n    return 1\n"
        assert pkgutil.get_data("shop", "data.txt") == b"data"
        assert importlib.import_module("importlib.resources").files("shop").joinpath("data.txt").read_text() == "data"
        assert [found.name for found in pkgutil.iter_modules(shop.__path__)] == []
        gc.collect()
        assert not [thing for thing in gc.get_referrers(loader) if type(thing) is Loader]

    def test_a_module_that_is_looked_for_only(self, modules, waiting):
        """`find_spec` alone imports nothing and tells nothing, and its loader is of the class that it would be."""
        modules(shop="VALUE = 42\n")
        waiting.wait("shop")
        spec = importlib.util.find_spec("shop")
        assert isinstance(spec.loader, importlib.machinery.SourceFileLoader)
        assert spec.loader.get_source("shop") == "VALUE = 42\n"
        assert "shop" not in sys.modules
        assert waiting.told == []
        importlib.import_module("shop")
        assert waiting.told == ["shop"]

    def test_lazy_loading(self, modules, waiting):
        """A module that is executed at its first use is told of then."""
        modules(shop="VALUE = 42\n")
        waiting.wait("shop")
        spec = importlib.util.find_spec("shop")
        spec.loader = importlib.util.LazyLoader(spec.loader)
        shop = sys.modules["shop"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(shop)
        assert waiting.told == []
        assert shop.VALUE == 42
        assert waiting.told == ["shop"]
        assert type(shop.__spec__.loader) is importlib.machinery.SourceFileLoader

    def test_circular_imports(self, modules, waiting):
        """A package whose parts import it is told of once, when it is whole."""
        modules(**PACKAGE)
        waiting.wait("shop", "shop.stock")
        assert importlib.import_module("shop.stock").shop.price() == 42
        assert waiting.told == ["shop.stock", "shop"]

    def test_zip_files(self, modules, waiting, monkeypatch):
        """A module in a zip file is imported by the zip file's loader, which all modules in it share."""
        archive = modules() / "shop.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("boxed/__init__.py", "VALUE = 42\n")
            file.writestr("boxed/part.py", "")
        monkeypatch.syspath_prepend(str(archive))
        waiting.wait("boxed")
        boxed = importlib.import_module("boxed")
        importlib.import_module("boxed.part")
        assert type(boxed.__loader__).__name__ == "zipimporter"
        assert waiting.told == ["boxed"]

    def test_namespace_packages(self, modules, waiting):
        """A package without a file executes nothing, and works."""
        (modules() / "empty").mkdir()
        waiting.wait("empty")
        assert importlib.import_module("empty").__file__ is None
        assert waiting.told == []

    def test_a_missing_module(self, waiting):
        """The error is Python's own, and the hook goes on waiting."""
        hook = waiting.wait("nothing_of_that_name")
        with pytest.raises(ModuleNotFoundError, match=r"^No module named 'nothing_of_that_name'$"):
            importlib.import_module("nothing_of_that_name")
        assert hook in sys.meta_path


class TestErrors:
    """An import that fails, fails as it would."""

    def test_the_traceback_is_the_same(self, modules, waiting):
        """Nothing of the hook is in the traceback of an error inside the module."""
        modules(shop="import shop.missing\n")

        def tell() -> str:
            try:
                import shop  # noqa: F401
            except ImportError:
                return traceback.format_exc()
            return ""

        without = tell()
        waiting.wait("shop")
        assert tell() == without != ""
        assert "shop" not in sys.modules
        assert waiting.told == []

    def test_the_second_attempt_is_told_of(self, modules, waiting):
        """A module that is there at the second attempt, as an optional one may be, is waited for until then."""
        path = modules(shop="1 / 0\n")
        waiting.wait("shop")
        with pytest.raises(ZeroDivisionError):
            importlib.import_module("shop")
        (path / "shop.py").write_text("VALUE = 42  # a longer file\n")
        importlib.invalidate_caches()
        importlib.import_module("shop")
        assert waiting.told == ["shop"]

    def test_warnings_point_to_who_imports(self, modules, waiting):
        """A warning that a module has for its importer names the importer's line."""
        modules(shop="import warnings\nwarnings.warn('old', DeprecationWarning, stacklevel=2)\n")
        waiting.wait("shop")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import shop  # noqa: F401
        assert [warning.filename for warning in caught] == [__file__]

    def test_an_error_of_another_finder(self, modules, waiting):
        """It goes to who imports, as it would."""

        class Broken:
            @staticmethod
            def find_spec(name: str, path: Any = None, target: Any = None) -> None:
                raise RuntimeError(name)

        waiting.wait("shop")
        sys.meta_path.insert(1, Broken)  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="shop"):
            importlib.import_module("shop")


class Wrapper:
    """Somebody else's import hook, as wrapt's and Datadog's are: asks all finders again, and wraps the loader."""

    def __init__(self) -> None:
        self.busy = False
        self.told: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "shop" or self.busy:
            return None
        self.busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.busy = False
        spec.loader = WrappingLoader(spec.loader, self.told)
        return spec


class WrappingLoader:
    """A loader around another one."""

    def __init__(self, loader: Any, told: list[str]) -> None:
        self.loader = loader
        self.told = told

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: Any) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self.loader.exec_module(module)
        self.told.append(module.__name__)


class TestOthers:
    """Other import hooks and other threads."""

    @pytest.mark.parametrize("position", [0, 1])
    def test_another_hook_wraps_too(self, modules, waiting, position):
        """Both are told once, whoever comes first, and the module keeps the loader that the other gave it."""
        modules(shop="VALUE = 42\n")
        other = Wrapper()
        waiting.wait("shop")
        sys.meta_path.insert(position, other)  # type: ignore[arg-type]
        shop = importlib.import_module("shop")
        assert (other.told, waiting.told) == (["shop"], ["shop"])
        assert type(shop.__spec__.loader) is WrappingLoader
        if position:
            assert type(shop.__spec__.loader.loader) is importlib.machinery.SourceFileLoader
        assert inspect.getsource(shop) == "VALUE = 42\n"

    def test_two_hooks_of_ours(self, modules, waiting):
        """A second copy of ullage waits for the same module: both are told."""
        modules(shop="")
        waiting.wait("shop")
        waiting.wait("shop")
        assert type(importlib.import_module("shop").__loader__) is importlib.machinery.SourceFileLoader
        assert waiting.told == ["shop", "shop"]

    def test_a_finder_of_python_2s_kind(self, modules, waiting):
        """A finder without find_spec is left to Python."""
        modules(shop="")
        waiting.wait("shop")
        sys.meta_path.insert(1, object())  # type: ignore[arg-type]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.10 and 3.11 warn of it
            if sys.version_info >= (3, 12):
                importlib.import_module("shop")
            else:
                with pytest.raises(AttributeError):
                    importlib.import_module("shop")
        assert waiting.told == []

    def test_threads_at_once(self, modules, waiting):
        """Sixteen threads import sixteen modules, each of them all: every module is told of once."""
        names = [f"part_{number}" for number in range(16)]
        modules(**{name: f"import threading\nfor _ in range(1000): pass\nVALUE = '{name}'\n" for name in names})
        hook = waiting.wait(*names)
        barrier = threading.Barrier(len(names))
        errors: list[BaseException] = []

        def work(first: int) -> None:
            barrier.wait()
            try:
                for name in [*names[first:], *names[:first]]:
                    assert name == importlib.import_module(name).VALUE
            except BaseException as error:  # noqa: BLE001 - shown by the test
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(names))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert sorted(waiting.told) == sorted(names)
        assert hook not in sys.meta_path

    def test_leaving_while_another_import_looks(self, modules, waiting):
        """The hook may go while a search goes on: that search misses no finder."""
        modules(shop="", late="VALUE = 42\n")
        hook = waiting.wait("shop")

        class Leaving:
            @staticmethod
            def find_spec(name: str, path: Any = None, target: Any = None) -> None:
                hook.take_off()

        path_finder = sys.meta_path.index(importlib.machinery.PathFinder)
        sys.meta_path.insert(path_finder, Leaving)  # type: ignore[arg-type]
        assert importlib.import_module("late").VALUE == 42
        assert hook not in sys.meta_path
