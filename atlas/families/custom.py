"""A network of the user's own: a function of a module or a file, or a module in memory.

The code runs with the rights of whoever gives its name; that is said on stderr.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from atlas.console import say_line
from atlas.errors import AtlasError, NetworkError, SpecError
from atlas.failures import STAY_ON_CPU, is_about_device
from atlas.families import imagenet, timm
from atlas.families.family import Family, Finder, PublishedWeights, ReadyNetwork
from atlas.families.torchvision import assumed_labels
from atlas.files import is_regular
from atlas.labels import ClassLabels
from atlas.memory import too_little
from atlas.text import displayable
from atlas.units import Preprocessing

if TYPE_CHECKING:
    from torch import nn

OWN = "own"  # names the weights that a network has when its code has made it
SEED = 0  # for weights that the code draws at random
HUB = "hf-hub:"  # what timm writes before names on Hugging Face's hub
N_NAMED = 3  # tensors or names that a message lists
INPUT_SIZE_PX = 224
SHARE = 7 / 8  # of a photograph's short side that is seen
IN_MEMORY = "in memory"
PACKAGE_DIR = Path(__file__).parents[1]
PARAMETER = "num_classes"  # a function that takes it is told the number of classes


@dataclass(frozen=True)
class _Place:
    """Where the code of a network is: a module or a file, and a function in it."""

    source: str  # "package.module" or "file.py"
    function: str

    @classmethod
    def of(cls, name: str) -> _Place:
        """The place that `file.py:function` names."""
        source, _, function = name.rpartition(":")
        if not source or not function:
            raise SpecError(f"cannot read --model {name!r}; write it like file.py:function")
        return cls(source, function)

    @property
    def is_file(self) -> bool:
        """Whether the source is a file rather than a module."""
        return self.source.endswith(".py")

    @property
    def folder(self) -> Path:
        """The folder whose modules can be imported: the file's, or the working directory."""
        return Path(self.source).resolve().parent if self.is_file else Path.cwd()


def find(name: str) -> Family:
    """The family of the network that `file.py:function` or `package.module:function` returns.

    Raises:
        SpecError: there is no such file, module or function.
        NetworkError: the code fails, or returns no network.
    """
    on_hub = name.removeprefix(HUB).rpartition("/")[2]
    if name.startswith(HUB) and timm.has(on_hub):
        raise SpecError(
            f"{name} is the name on a hub of a network of timm; use --model timm:{on_hub}"
        )
    if "://" in name or name.startswith(HUB):
        raise SpecError(
            f"{name} is an address; download the code, and give it as --model file.py:function"
        )
    from atlas.families.modules import refuse_unreadable

    place = _Place.of(name)
    if place.is_file and not is_regular(Path(place.source)):
        raise SpecError(
            f"no file {place.source}; give a Python file, as in --model file.py:network"
        )
    say_line(f"Running {place.source}, which may do whatever you may do; run only what you trust.")
    build = _Factory(place, _function(place))
    model = build()
    refuse_unreadable(model, f"what {place.function} in {place.source} returned")
    return _family(name, build, model)


def family_in_memory(model: object) -> Family:
    """The family of a network that is there already; it is copied, not changed.

    Raises:
        SpecError: it is no module.
        NetworkError: its layers or weights cannot be read.
    """
    from atlas.families.modules import copied, plain, refuse_unreadable

    if not is_module(model):
        way_on = "a torch.nn.Module, or a name as after --model"
        if isinstance(model, Mapping):
            way_on = f"it as weights, and as the model {way_on}"
        raise SpecError(f"the model is {_article(model)}; give {way_on}")
    refuse_unreadable(model, "the network")

    def build(_n_classes: int) -> nn.Module:
        return _named(plain(copied(model)))

    return _family(IN_MEMORY, build, build(0))


def is_module(value: object) -> TypeGuard[nn.Module]:
    """Whether something is a network, rather than its class, its weights or anything else."""
    from torch import nn

    return isinstance(value, nn.Module)


@dataclass(frozen=True)
class _Factory:
    """Builds the network by calling the user's function, the same each time."""

    place: _Place
    function: Callable[..., Any]

    def __call__(self, n_classes: int = 0, seed: int = SEED) -> nn.Module:
        """The network with `n_classes` classes, if the function can be told; 0 leaves it alone.

        Raises:
            NetworkError: the function fails, or what it returns is no module.
        """
        import torch

        from atlas.families.modules import plain

        told = {PARAMETER: n_classes} if n_classes and self.can_be_told else {}
        with _running(self.place), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.function(**told)
        if not isinstance(model, torch.nn.Module):
            raise NetworkError(
                f"{self.place.function} in {self.place.source} returned "
                f"{type(model).__name__}, no torch.nn.Module; let it return the network"
            )
        return _named(plain(model))

    @property
    def can_be_told(self) -> bool:
        """Whether the function takes the number of classes."""
        try:
            return PARAMETER in inspect.signature(self.function).parameters
        except ValueError:  # a callable that is not written in Python
            return False


def _named(model: nn.Module) -> nn.Module:
    """The network; one that is a single layer is put into another module, to have a name."""
    from torch.nn import Conv2d, Linear, Sequential

    return Sequential(model) if isinstance(model, Conv2d | Linear) else model


def _family(name: str, build: Callable[..., nn.Module], model: nn.Module) -> Family:
    from atlas.families.architecture import classifier_of, image_channels

    n_channels = image_channels(model)
    channels = f"{n_channels} channel{'s' if n_channels != 1 else ''}"
    can_be_told = isinstance(build, _Factory) and build.can_be_told
    return Family(
        name=displayable(name),
        title=type(model).__name__,
        about="A network of your own.",
        build=build,
        classifier=classifier_of(build) if can_be_told else None,
        weights={
            OWN: PublishedWeights(
                preprocessing=partial(_assumed_preprocessing, n_channels),
                network=partial(_ready, build, model),
            )
        },
        default_weights=OWN,
        labels=_labels,
        assumed_preprocessing=f"that of most networks for {channels}",
        variant=_variant,
        is_own_code=True,
    )


def _assumed_preprocessing(n_channels: int) -> Preprocessing:
    """That of most networks trained on ImageNet; other channels than three are taken to -1..1."""
    is_colour = n_channels == len(imagenet.MEAN)
    return Preprocessing(
        size_px=INPUT_SIZE_PX,
        resize_px=INPUT_SIZE_PX / SHARE,
        mean=imagenet.MEAN if is_colour else (0.5,) * n_channels,
        std=imagenet.STD if is_colour else (0.5,) * n_channels,
    )


def _labels() -> ClassLabels:
    return assumed_labels()


def _ready(build: Callable[..., nn.Module], model: nn.Module) -> ReadyNetwork:
    """The network with the weights that its code gives it, and whether these are random."""
    if not isinstance(build, _Factory):
        return ReadyNetwork(model, IN_MEMORY)
    other = build(0, seed=SEED + 1).state_dict()
    state = model.state_dict()
    drawn = [key for key, tensor in state.items() if not _same(tensor, other.get(key))]
    if not drawn:
        return ReadyNetwork(model, f"set by {displayable(build.place.source)}")
    say_line(
        f"{len(drawn)} of {len(state)} tensors are drawn at random ({', '.join(drawn[:N_NAMED])}"
        f"{', ...' if len(drawn) > N_NAMED else ''}); --weights FILE gives trained ones."
    )
    return ReadyNetwork(model, f"random, seed {SEED}")


def _same(tensor: Any, other: Any) -> bool:
    return other is not None and tensor.shape == other.shape and bool((tensor == other).all())


def _variant(model: nn.Module) -> str:
    """A digest of what a network computes beside its tensors, as far as its code shows it.

    That is how its modules are put together, and the code of those classes that do not come with
    PyTorch, without comments.
    """
    classes = {type(module) for module in model.modules()}
    sources = sorted(_code_of(each) for each in classes if not each.__module__.startswith("torch."))
    return hashlib.sha256("\0".join([str(model), *sources]).encode()).hexdigest()


def _code_of(cls: type) -> str:
    """The code of a class without comments and layout; only its name if nobody has its code."""
    try:
        return ast.dump(ast.parse(textwrap.dedent(inspect.getsource(cls))))
    except (OSError, TypeError, SyntaxError):
        return cls.__qualname__


def _function(place: _Place) -> Callable[..., Any]:
    """The function that returns the network.

    Raises:
        SpecError: there is none of this name.
        NetworkError: the code that has it fails.
    """
    from torch import nn

    with _running(place):
        module = _module_of_file(place) if place.is_file else _imported(place.source)
    function = getattr(module, place.function, None)
    if isinstance(function, nn.Module):
        raise SpecError(
            f"{place.function} in {place.source} is a network; name a function that returns it"
        )
    if callable(function):
        return cast("Callable[..., Any]", function)
    names = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
    close = difflib.get_close_matches(place.function, names, cutoff=0.0)
    more = f" and {len(names) - len(close)} more" if len(names) > len(close) else ""
    there = f"it has {', '.join(close)}{more}" if close else "it has none"
    raise SpecError(f"{place.source} has no function {place.function!r}; {there}")


def _imported(name: str) -> ModuleType:
    """The module of a name.

    Raises:
        SpecError: there is none, or no package that it would be in.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise SpecError(
                f"Python finds no module {error.name!r} from here; give --model "
                "package.module:function, or file.py:function"
            ) from error
        raise


def _module_of_file(place: _Place) -> ModuleType:
    path = Path(place.source).resolve()
    name = f"own_network_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look for it there
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _running(place: _Place) -> Iterator[None]:
    """Runs code of the user's.

    Modules beside it can be imported, what it prints goes to stderr, and what it raises becomes
    one line.
    """
    sys.path.insert(0, str(place.folder))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except AtlasError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError | RuntimeError) and too_little(error):
            raise
        way_on = STAY_ON_CPU if is_about_device(error) else "mend it there"
        raise NetworkError(f"{_where(error, place)}: {_what(error)}; {way_on}") from error
    finally:
        with contextlib.suppress(ValueError):  # the code may have removed it itself
            sys.path.remove(str(place.folder))


def _where(error: BaseException, place: _Place) -> str:
    """The file and line of the user's code in which an error came up."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}"
    trace = traceback.extract_tb(error.__traceback__)
    others = [frame for frame in trace if not frame.filename.startswith("<frozen ")]
    frames = [frame for frame in others if not Path(frame.filename).is_relative_to(PACKAGE_DIR)]
    own = [frame for frame in frames if _is_in(place.folder, Path(frame.filename))]
    shown = own or frames
    return f"{_shown(shown[-1].filename)}:{shown[-1].lineno}" if shown else place.source


def _is_in(folder: Path, path: Path) -> bool:
    """Whether a file is in a folder, and not in a package that is installed somewhere in it."""
    return path.is_relative_to(folder) and "site-packages" not in path.parts


def _shown(file_name: str) -> str:
    """A file's path from the working directory, if it lies there."""
    path = Path(file_name)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _article(value: object) -> str:
    """What kind of thing something is, in words."""
    if isinstance(value, type):
        return f"the class {value.__name__}, not yet called"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _what(error: BaseException) -> str:
    message = displayable(str(error).partition("\n")[0])
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


FINDER = Finder(
    form="FILE.py:FUNCTION",
    about="your own: a function that returns it, also as package.module:function",
    owns=lambda name: ":" in name or name.endswith(".py"),
    find=find,
    examples=(
        (
            "--model net.py:make --weights net.pth --input-size 96",
            "your own network",
        ),
    ),
)
