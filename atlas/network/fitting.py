"""Which tensors of a weights file are those of an architecture, wherever they are in the file.

Terms: the *body* of an architecture is all of it but its *head*, which is the classifier and, where
these make one module, the linear layers that lead to it. A *place* in a file is what comes before
the names of an architecture's tensors there: keys of containers, and prefixes such as `module.`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

from torch import Tensor, nn

from atlas.families.architecture import outline
from atlas.network.stored import StoredTensor

Given = Mapping[str, StoredTensor]  # the tensors of a file, by their keys
MAX_CANDIDATES = 10  # layers that are looked at as classifiers
MAX_DEPTH = 20  # of modules in one another
MIN_IN_ORDER, MAX_IN_ORDER = 10, 5000  # tensors that are matched by their order
OPTIONAL = ".num_batches_tracked"  # only counts the steps of the training
QUEUE = "queue"  # of outputs that a training compares others with
# Words for copies that are averaged over the training of another.
_AVERAGES = {"ema", "swa", "avg", "averaged", "average", "shadow", "momentum", "teacher"}


@dataclass(frozen=True)
class Architecture:
    """The tensors that a network has, without their numbers.

    Attributes:
        tensors: by name, on any device.
        classifier: name of the layer that gives the logits; empty if there is none.
    """

    tensors: Mapping[str, Tensor]
    classifier: str

    @classmethod
    def of(cls, build: Callable[[], nn.Module], classifier: str) -> Architecture:
        """The architecture of a network, which is built without memory where that is possible."""
        try:
            tensors = outline(lambda _: build()).state_dict()
        except Exception:  # a network may compute with its first weights while it is built
            tensors = build().state_dict()
        return cls(tensors, classifier)

    @cached_property
    def classifier_leaf(self) -> str:
        """What follows the classifier's name in that of its weight: of its largest tensor.

        A classifier whose weight is in parts has no tensor that is called so.
        """
        inside = {
            name: tensor
            for name, tensor in self.tensors.items()
            if is_inside(name, self.classifier)
        }
        usual = f"{self.classifier}.weight"
        largest = max(inside, key=lambda name: inside[name].numel(), default=usual)
        return (usual if usual in inside else largest).removeprefix(self.classifier)

    @cached_property
    def head(self) -> str:
        """Name of the largest module around the classifier that has no filters but its own."""
        head = self.classifier
        while (outer := head.rpartition(".")[0]) and not self._has_filters(outer):
            head = outer
        return head

    def _has_filters(self, module: str) -> bool:
        return any(
            tensor.ndim > 2
            for name, tensor in self.tensors.items()
            if is_inside(name, module) and not is_inside(name, self.classifier)
        )

    @cached_property
    def body(self) -> tuple[str, ...]:
        """Names of the tensors that a file must have."""
        return tuple(
            name
            for name in self.tensors
            if not is_inside(name, self.head) and not name.endswith(OPTIONAL)
        )

    def fits(self, name: str, tensor: StoredTensor) -> bool:
        """Whether a file's tensor has the shape of one of these."""
        return name in self.tensors and self.tensors[name].shape == tensor.shape


@dataclass(frozen=True)
class Fit:
    """How a file's tensors fit an architecture.

    Attributes:
        place: what comes before the names of the body's tensors, with a dot at its end, or empty.
        rivals: places where others fit as well.
        paths: keys of the tensors in the file, by their names in the architecture.
        classifier: name of the classifier in the file; None if it has none that fits.
        classifier_weight: key of its tensor whose rows are the classes.
        missing: names of tensors that the file lacks.
        absent: names of tensors of the head that it lacks, which is no error.
        unknown: keys of tensors inside modules of the body that the architecture does not have.
        others: keys of tensors that belong to something else beside the network.
        is_renamed: whether the tensors have other names in the file, and follow from their order.
    """

    place: str
    rivals: tuple[str, ...]
    paths: Mapping[str, str]
    classifier: str | None
    classifier_weight: str | None
    missing: tuple[str, ...]
    absent: tuple[str, ...]
    unknown: tuple[str, ...]
    others: tuple[str, ...]
    is_renamed: bool = False


def find_fit(architecture: Architecture, given: Given, state_key: str = "") -> Fit | None:
    """Find an architecture's tensors in a file; None if not one has a name that fits.

    The place where most tensors of the body have the right shapes wins. Of places that are equal
    in this, one with more inside the body's modules comes last, as it is of a larger network, then
    one whose name says that it is an average, then one with a classifier that fits comes first,
    then the one that the file has first.

    Args:
        architecture: the network.
        given: the tensors of the file, by their keys.
        state_key: a key or prefix in the file; only places inside it count.
    """
    places = _places(architecture, given)
    asked = [place for place in places if _is_asked(place, state_key)]
    if not asked:
        return None
    larger = _larger(architecture, given, places)

    def rank(place: str) -> tuple[Any, ...]:
        has_classifier = _fits_classifier(architecture, given, place + architecture.classifier)
        n_fitting, n_named = places[place]
        is_average = _is_average(place)
        return -n_fitting, -n_named, place in larger, is_average, not has_classifier

    best = min(asked, key=rank)
    rivals = [
        place for place in places if place not in {best, *larger} and places[place] == places[best]
    ]
    return _fit_at(architecture, given, best, tuple(rivals))


def find_fit_in_order(architecture: Architecture, given: Given, state_key: str = "") -> Fit | None:
    """Find an architecture's tensors under other names, as in a Sequential of a network's children.

    All tensors of the body must follow each other in the file, in the same order, with the same
    shapes and the same last parts of their names. None if they do not, or are too few to be sure.
    """
    body = [(_leaf(name), tuple(architecture.tensors[name].shape)) for name in architecture.body]
    paths = [path for path in given if not path.endswith(OPTIONAL) and _is_asked(path, state_key)]
    if len(body) < MIN_IN_ORDER or len(paths) > MAX_IN_ORDER:
        return None
    stored = [(_leaf(path), given[path].shape) for path in paths]
    for start in range(len(stored) - len(body) + 1):
        if stored[start] == body[0] and stored[start : start + len(body)] == body:
            run = paths[start : start + len(body)]
            named = dict(zip(architecture.body, run, strict=True))
            return _fit_at(architecture, given, _common_place(run), (), named)
    return None


def unwrapped(architecture: Architecture, keys: Iterable[str]) -> dict[str, str]:
    """The keys of tensors by what they are without the wrappers of single modules.

    `DataParallel` around `features` makes `features.module.0.weight` of `features.0.weight`. Words
    that no name of the architecture has are left out after the first that some name has.
    """
    words = {word for name in architecture.tensors for word in name.split(".")}
    found: dict[str, str] = {}
    for key in keys:
        before = list(takewhile(lambda word: word not in words, key.split(".")))
        inside = [word for word in key.split(".")[len(before) :] if word in words]
        found.setdefault(".".join([*before, *inside]), key)
    return found


def is_inside(name: str, module: str) -> bool:
    """Whether a tensor or module is in a module; nothing is in the module without a name."""
    return bool(module) and name.startswith(f"{module}.")


def _is_asked(path: str, state_key: str) -> bool:
    return not state_key or f".{state_key}." in f".{path}"


def _places(architecture: Architecture, given: Given) -> dict[str, tuple[int, int]]:
    """Places where names of the body occur: how many have the right shape, and how many occur."""
    body = set(architecture.body)
    n_parts = _depth(body)
    named: Counter[str] = Counter()
    fitting: Counter[str] = Counter()
    for path, tensor in given.items():
        parts = path.rsplit(".", n_parts)
        for n_last in range(1, len(parts) + 1):
            name = ".".join(parts[-n_last:])
            if name in body:
                place = path[: len(path) - len(name)]
                named[place] += 1
                fitting[place] += architecture.fits(name, tensor)
    return {place: (fitting[place], count) for place, count in named.items()}


def _larger(architecture: Architecture, given: Given, places: Collection[str]) -> set[str]:
    """Places where modules of the body have tensors that the architecture does not have.

    Numbers that stand alone are counters; other dots in a name make no difference.
    """
    outermost = {name.partition(".")[0] for name in architecture.body if "." in name}
    known = {name.replace(".", "") for name in architecture.tensors}
    larger = set()
    for path, tensor in given.items():
        if path.endswith(OPTIONAL) or tensor.n_items <= 1:
            continue
        parts = path.split(".", MAX_DEPTH)
        for n_before in range(len(parts) - 1):
            if parts[n_before] in outermost and "".join(parts[n_before:]) not in known:
                larger.add("".join(f"{part}." for part in parts[:n_before]))
    return larger.intersection(places)


def _is_average(place: str) -> bool:
    return not _AVERAGES.isdisjoint(re.split("[^a-z]+", place.lower()))


def _fit_at(
    architecture: Architecture,
    given: Given,
    place: str,
    rivals: tuple[str, ...],
    paths: dict[str, str] | None = None,
) -> Fit:
    """The fit at a place; `paths` are known where names do not tell them."""
    found = _paths(architecture, given, place) if paths is None else paths
    classifier = _find_classifier(architecture, given, place, set(found.values()))
    found = _with_head(architecture, given, found, classifier)
    lacking = [
        name for name in architecture.tensors if name not in found and not name.endswith(OPTIONAL)
    ]
    absent = [name for name in lacking if _may_be_absent(architecture, name, classifier)]
    rest = _rest(given, found.values(), rivals)
    body = [found[name] for name in architecture.body if name in found]
    unknown = _inside(given, place, body, rest)
    return Fit(
        place=place,
        rivals=rivals,
        paths=found,
        classifier=classifier,
        classifier_weight=None if classifier is None else classifier + architecture.classifier_leaf,
        missing=tuple(name for name in lacking if name not in absent),
        absent=tuple(absent),
        unknown=tuple(unknown),
        others=tuple(path for path in rest if path not in unknown),
        is_renamed=paths is not None,
    )


def _with_head(
    architecture: Architecture, given: Given, paths: Mapping[str, str], classifier: str | None
) -> dict[str, str]:
    """The keys of tensors, with those of the classifier; without it, only what fits of the head."""
    if classifier is None:
        return {
            name: path
            for name, path in paths.items()
            if not is_inside(name, architecture.head) or architecture.fits(name, given[path])
        }
    own = architecture.classifier
    body = {name: path for name, path in paths.items() if not is_inside(name, own)}
    renamed = {name: classifier + name.removeprefix(own) for name in architecture.tensors}
    return body | {
        name: path for name, path in renamed.items() if is_inside(name, own) and path in given
    }


def _may_be_absent(architecture: Architecture, name: str, classifier: str | None) -> bool:
    """Whether a file may lack a tensor: of the head without a classifier, else a bias of zeros."""
    if classifier is None:
        return is_inside(name, architecture.head)
    return name == f"{architecture.classifier}.bias"


def _paths(architecture: Architecture, given: Given, place: str) -> dict[str, str]:
    """Keys of the tensors at a place by their names; other dots in a name make no difference.

    The DenseNets that torchvision publishes have `norm.1` where its code says `norm1`.
    """
    inside = {path[len(place) :]: path for path in given if path.startswith(place)}
    paths = {name: inside.pop(name) for name in architecture.tensors if name in inside}
    if len(paths) < len(architecture.tensors):
        plain = {name.replace(".", ""): path for name, path in inside.items()}
        for name in architecture.tensors:
            path = plain.get(name.replace(".", ""), "")
            if name not in paths and path and architecture.fits(name, given[path]):
                paths[name] = path
    return paths


def _find_classifier(
    architecture: Architecture, given: Given, place: str, used: Collection[str]
) -> str | None:
    """Name of the classifier in the file, if necessary under another name or elsewhere.

    Elsewhere it must be the only layer of its kind: several in a row are a projection head, whose
    last one reads other numbers than those that the body gives.
    """
    own = place + architecture.classifier
    if _fits_classifier(architecture, given, own):
        return None if _is_queued(given, own + architecture.classifier_leaf) else own
    leaf = architecture.classifier_leaf
    names = [path.removesuffix(leaf) for path in given if path not in used]
    fitting = [name for name in names if _fits_classifier(architecture, given, name)]
    nearest = sorted(fitting, key=lambda name: -len(_common_place([name, own])))
    for name in nearest[:MAX_CANDIDATES]:
        weight = given[name + leaf]
        if weight.dtype and weight.n_items and _is_alone(given, name, used):
            return name
    return None


def _is_queued(given: Given, weight: str) -> bool:
    """Whether the file has a queue of outputs of this layer, which are no classes then.

    Self-supervised training compares each output with those before it. Source: He et al. 2020,
    https://arxiv.org/abs/1911.05722
    """
    n_outputs = given[weight].shape[:1]
    queues = (tensor.shape for path, tensor in given.items() if _leaf(path) == QUEUE)
    return any(len(shape) == 2 and n_outputs in (shape[:1], shape[1:]) for shape in queues)


def _fits_classifier(architecture: Architecture, given: Given, name: str) -> bool:
    """Whether a layer in the file could be the classifier, of any number of classes.

    A type of numbers that cannot be used is an error, but no sign that it is another layer.
    """
    leaf = architecture.classifier_leaf
    expected = architecture.tensors.get(architecture.classifier + leaf)
    weight = given.get(name + leaf)
    if not architecture.classifier or expected is None or weight is None:
        return False
    return weight.shape[1:] == expected.shape[1:] if weight.shape else weight.dtype is None


def _is_alone(given: Given, name: str, used: Collection[str]) -> bool:
    """Whether a layer is the only one in the largest module around it without used tensors."""
    module = name
    while (outer := module.rpartition(".")[0]) and not any(is_inside(u, outer) for u in used):
        module = outer
    own = {f"{name}.weight", f"{name}.bias"}
    inside = (path for path, tensor in given.items() if tensor.n_items > 1)
    return all(path in own for path in inside if is_inside(path, module))


def _rest(given: Given, used: Iterable[str], rivals: tuple[str, ...]) -> list[str]:
    """Keys of the tensors that are neither used nor in another copy of the network."""
    apart = {*used}
    copies = tuple(rival for rival in rivals if rival)
    return [
        path
        for path in given
        if path not in apart and not path.startswith(copies) and not path.endswith(OPTIONAL)
    ]


def _inside(given: Given, place: str, body: Iterable[str], rest: Iterable[str]) -> dict[str, None]:
    """Those of the rest that lie inside modules of the body, without single numbers: counters."""
    modules = {module for path in body for module in _around(path[len(place) :], MAX_DEPTH)}
    return {
        path: None
        for path in rest
        if path.startswith(place)
        and given[path].n_items > 1
        and not modules.isdisjoint(_around(path[len(place) :], MAX_DEPTH))
    }


def _around(name: str, depth: int) -> Iterator[str]:
    """Names of the modules that something is in, the outermost first."""
    parts = name.split(".", depth)
    for n_parts in range(1, len(parts)):
        yield ".".join(parts[:n_parts])


def _common_place(names: Iterable[str]) -> str:
    """The outermost modules that all names share, with a dot at the end."""
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    shared = takewhile(lambda column: len(set(column)) == 1, columns)
    return "".join(f"{column[0]}." for column in shared)


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _depth(names: Iterable[str]) -> int:
    return 1 + max((name.count(".") for name in names), default=0)
