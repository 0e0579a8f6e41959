"""The front page, which draws the network, and the other pages about the whole network."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from atlas import paths
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.excitatory.view import PictureView
from atlas.kinds.names.view import brief
from atlas.kinds.natural import KIND as NATURAL
from atlas.kinds.noise import KIND as NOISE
from atlas.lazily import load
from atlas.on_demand import ON_DEMAND
from atlas.sheets import SMALL_PX, SheetKind
from atlas.site import wording
from atlas.site.contents import Contents
from atlas.site.drawing_view import Cover, Covers, DrawingView, drawing_view
from atlas.site.parts import (
    Card,
    Cell,
    Fact,
    Head,
    Link,
    LinkList,
    picture_alt,
    spread,
    unit_card_picture,
    unit_link,
)
from atlas.site.sprites import COVERS, MOSAICS
from atlas.site.tour import StepView, steps_of, tour_title
from atlas.site.verdict import Known, known_of
from atlas.units import N_REFERENCE_IMAGES, Layer, NetworkFacts, Preprocessing, Unit
from atlas.vocabulary import VOCABULARIES, words_of

PICTURES_PER_MOSAIC = 4
N_SPECIMENS = 4  # pictures on the page about the atlas
N_CONSIDERED = 64  # units of a layer, evenly spaced, among which its mosaic is chosen
RGB = 3
MOST_PLANES = 4  # that fit into the picture of an image


@dataclass(frozen=True)
class Frontispiece:
    """The one large picture of the front page."""

    picture: PictureView
    link: Link


@dataclass(frozen=True)
class ImageView:
    """What the network is given, as the drawing shows it."""

    size: str  # "224 × 224 px"
    channels: str  # "3 colours"
    planes: tuple[int, ...]  # numbers of its channels


@dataclass(frozen=True)
class IndexPage:
    """View of `index.html`."""

    head: Head
    sentence: str  # what this is
    counts: tuple[Fact, ...]
    progress: str | None  # what is rendered so far, in a sentence; None if the atlas is complete
    frontispiece: Frontispiece | None
    tour: str  # title of the tour; empty if there are no pictures yet
    steps: tuple[StepView, ...]  # the units of the tour
    image: ImageView
    drawing: DrawingView
    goal: str  # where the drawing ends
    made: tuple[Fact, ...]
    on_demand: tuple[LinkList, ...]  # the pages that somebody asked for, by their kinds


@dataclass(frozen=True)
class ClassEntry:
    """A class in the list."""

    index: int
    link: Link


@dataclass(frozen=True)
class ClassGroup:
    """Classes that begin with the same letter."""

    letter: str
    entries: tuple[ClassEntry, ...]


@dataclass(frozen=True)
class ClassesPage:
    """View of `classes.html`."""

    head: Head
    words: str
    classifier: str | None  # name of the layer of the classes
    groups: tuple[ClassGroup, ...]


@dataclass(frozen=True)
class RecipeUse:
    """The settings of a recipe and the layers that it was used for."""

    layers: str
    settings: tuple[Fact, ...]


@dataclass(frozen=True)
class Specimen:
    """A picture on the page about the atlas."""

    href: str | None
    src: str
    alt: str
    pixelated: bool
    name: str


@dataclass(frozen=True)
class AboutPage:
    """View of `about.html`."""

    head: Head
    progressive: bool
    varies_branches: bool  # whether classes' pictures were made with varying residual branches
    holds_others_down: bool  # whether a class's picture was made against the other classes
    has_gates: bool
    has_batch_norms: bool
    has_measured_sigmas: bool  # whether a layer has sigmas that are no BatchNorm's
    specimens: tuple[Specimen, ...]
    held_against: str  # what the specimens go furthest beyond
    n_reference_images: int  # that sigmas are measured on where no BatchNorm follows
    labels_source: str
    preprocessing: str
    preprocessing_source: str  # empty where it comes with published weights
    sha256: str
    recipes: tuple[RecipeUse, ...]
    glossaries: tuple[str, ...]  # templates with the entries of kinds and of the network's family


@dataclass(frozen=True)
class ComparePage:
    """View of `compare.html`, which a script fills."""

    head: Head
    example: str  # id of a unit


@dataclass(frozen=True)
class EmbedPage:
    """View of `embed.html`, which shows one unit in a frame of another page."""

    head: Head


@dataclass(frozen=True)
class LostPage:
    """View of `404.html`."""

    head: Head
    words: str
    marker: str  # name of a file that only the root has, by which the script finds it


def cover_picks(contents: Contents) -> tuple[tuple[int, Unit], ...]:
    """The layers that only a cover can represent, with their positions on the sheets of covers."""
    return tuple(
        (layer.index, layer.whole)
        for layer in contents.facts.layers
        if contents.has_cover(layer) and not contents.pictured(layer)
    )


def mosaic_picks(contents: Contents) -> tuple[tuple[int, Unit], ...]:
    """The units whose pictures represent their layers, with their positions on the sheets."""
    return tuple(
        (layer.index * PICTURES_PER_MOSAIC + nth, layer.unit(index))
        for layer in contents.facts.layers
        for nth, index in enumerate(cover_units(contents, layer, PICTURES_PER_MOSAIC))
    )


def cover_units(contents: Contents, layer: Layer, n: int) -> tuple[int, ...]:
    """At most `n` living units that represent a layer: if possible, each with another word."""
    pictured = contents.pictured(layer)
    considered = (pictured[nth] for nth in spread(range(len(pictured)), N_CONSIDERED))
    alive = [unit.index for unit in considered if not contents.is_dead(unit)]
    by_word = {brief(contents, layer, index): index for index in reversed(alive)}
    by_word.pop("", None)
    told = spread(sorted(by_word.values()), n)
    others = spread((index for index in alive if index not in told), n - len(told))
    return tuple(sorted((*told, *others)))


def index_view(contents: Contents, tour: Sequence[Unit] = ()) -> IndexPage:
    """The front page, with the units of the tour."""
    facts = contents.facts
    covers, frontispiece = _covers(contents), _frontispiece(contents, tour)
    return IndexPage(
        head=Head(
            title=f"Atlas of {facts.name}",
            description=f"What each of the {wording.count(facts.n_units)} units of {facts.name} "
            "wants to see, and the weights it sees with.",
            root="",
            section="network",
            card=atlas_card(contents, paths.INDEX),
        ),
        sentence=_sentence(facts),
        counts=_counts(contents),
        progress=_progress(contents),
        frontispiece=frontispiece,
        tour=tour_title(contents, tour) if tour else "",
        steps=steps_of(contents, tour),
        image=_image(facts),
        drawing=drawing_view(facts.layers, covers),
        goal="classes" if facts.classifier else "last layer",
        made=(
            Fact("Network", facts.name),
            Fact("Weights", facts.weights),
            Fact("sha256", facts.sha256[:12]),
            Fact("Recipe", f"{contents.spec.recipe}, {contents.spec.preset}", about="recipe"),
            Fact("Seed", str(contents.spec.seed), about="seed"),
            *_kind_facts(contents),
        ),
        on_demand=tuple(_on_demand(contents)),
    )


def _sentence(facts: NetworkFacts) -> str:
    """What the network does and what the atlas shows of it."""
    n_units = wording.count(facts.n_units, "unit")
    shown = f"for each of its {n_units}, what drives it and how far the picture can be trusted"
    if facts.classifier is None:
        return f"{facts.name} is a network that looks at images. This atlas shows, {shown}."
    n_classes = facts.classifier.n_units
    does = f"sorts images into {n_classes:,} classes" if n_classes > 1 else "gives images one logit"
    return f"{facts.name} {does}. This atlas shows, {shown}."


def _image(facts: NetworkFacts) -> ImageView:
    n_channels = len(facts.preprocessing.mean)
    size = wording.pair((facts.input_size_px, facts.input_size_px))
    words = "3 colours" if n_channels == RGB else wording.count(n_channels, "channel")
    return ImageView(f"{size} px", words, tuple(range(min(n_channels, MOST_PLANES))))


def _on_demand(contents: Contents) -> Iterator[LinkList]:
    for kind in ON_DEMAND:
        pages = [page for page in contents.on_demand_pages if page.kind is kind]
        if pages:
            links = tuple(Link(page.records[0].name, page.path) for page in pages)
            yield LinkList(kind.noun.capitalize(), links)


def _covers(contents: Contents) -> Covers:
    covers = {layer.name: Cover() for layer in contents.facts.layers}
    for position, unit in cover_picks(contents):
        alt = contents.cover_kind.layer_alt.format(layer=unit.layer) if contents.cover_kind else ""
        covers[unit.layer] = Cover((_cover(COVERS, position, alt),))
    for layer, picks in itertools.groupby(mosaic_picks(contents), lambda pick: pick[1].layer):
        covers[layer] = _mosaic(contents, contents.facts.layer(layer), tuple(picks))
    return covers


def _mosaic(contents: Contents, layer: Layer, picks: Sequence[tuple[int, Unit]]) -> Cover:
    words = [brief(contents, layer, unit.index) for _, unit in picks]
    titles = [contents.title(layer, unit.index) for _, unit in picks]
    alts = [
        ": ".join(dict.fromkeys(filter(None, each))) for each in zip(titles, words, strict=True)
    ]
    cells = (_cover(MOSAICS, pick[0], alt) for pick, alt in zip(picks, alts, strict=True))
    return Cover(tuple(cells), tuple(dict.fromkeys(filter(None, words))))


def _cover(kind: SheetKind, position: int, alt: str) -> Cell:
    place = kind.place(position)
    return Cell(place.sheet, place.column, place.row, alt)


def _counts(contents: Contents) -> tuple[Fact, ...]:
    layers = contents.facts.layers
    convs, pointwise, hidden, classes = (
        [layer for layer in layers if layer.kind == kind] for kind in VOCABULARIES
    )
    rows = [
        _count_of_layers(convs),
        _count_of_layers(pointwise),
        _count_of_units((*convs, *pointwise), "channel", "channels"),
        _count_of_layers(hidden),
        _count_of_units(hidden, "hidden unit", "hidden units"),
        _count_of_units(classes, "class", "classes"),
    ]
    return (*(row for row in rows if row.value != "0"), *_dead(contents))


def _count_of_layers(layers: Sequence[Layer]) -> Fact:
    words = words_of(layers[0]) if layers else VOCABULARIES["conv"]
    return Fact(words.layer if len(layers) == 1 else words.layers, wording.count(len(layers)))


def _count_of_units(layers: Sequence[Layer], noun: str, plural: str) -> Fact:
    n_units = sum(layer.n_units for layer in layers)
    return Fact(noun if n_units == 1 else plural, wording.count(n_units))


def _dead(contents: Contents) -> Iterator[Fact]:
    """The number of dead units, even if it is zero, as soon as there are pictures."""
    if n_pictured := contents.n_made(EXCITATORY):
        dead = contents.n_dead
        noun = "dead unit" if dead == 1 else "dead units"
        if n_pictured < contents.facts.n_units:
            noun += " so far"
        yield Fact(noun, wording.count(dead), about="dead")


def _progress(contents: Contents) -> str | None:
    n_units, n_paged = contents.facts.n_units, contents.n_pages
    n_pictured = contents.n_made(EXCITATORY)
    if n_pictured == n_units:
        return None
    if n_paged == n_units:
        return f"{wording.count(n_pictured)} of {wording.count(n_units)} excitatory pictures so far"
    words = f"{wording.count(n_paged)} of {wording.count(n_units)} units rendered so far"
    if n_pictured < n_paged:
        words += f", {wording.count(n_pictured)} of them with an excitatory picture"
    return words


def _kind_facts(contents: Contents) -> Iterator[Fact]:
    """The facts about the whole network that kinds of artifacts contribute."""
    for kind in contents.kinds:
        if kind.front_facts:
            yield from load(kind.front_facts)(contents)


def _frontispiece(contents: Contents, units: Sequence[Unit]) -> Frontispiece | None:
    """The picture of the last unit of the tour, which is the deepest."""
    if not units:
        return None
    unit = units[-1]
    layer, entry = contents.facts.layer(unit.layer), contents.entry(unit, EXCITATORY)
    width_px = entry.width_px if entry else 0
    picture = PictureView(
        src=paths.unit_picture(unit),
        alt=picture_alt(contents, layer, unit.index),
        shown_px=max(384, min(512, width_px)),
        pixelated=width_px < SMALL_PX,
        caption="",
        scale=None,
    )
    words = f"{contents.title(layer, unit.index)} ({unit.id})"
    return Frontispiece(picture, unit_link(contents, unit.layer, unit.index, words, ""))


def atlas_card(contents: Contents, page: str) -> Card:
    """The card of a page about the whole network."""
    unit = _card_unit(contents)
    return Card(page, unit_card_picture(contents, unit) if unit else None)


def _card_unit(contents: Contents) -> Unit | None:
    """The best unit, by its record, of the deepest layer that has pictures of live units."""
    for layer in reversed(contents.facts.layers):
        alive = [unit for unit in contents.pictured(layer) if not contents.is_dead(unit)]
        if alive:
            return max(alive, key=lambda unit: _rank_key(contents, unit))
    return None


def _rank_key(contents: Contents, unit: Unit) -> tuple[float, float, int]:
    """A key to rank pictures by: class probability, then peak response, then lowest index."""
    record = contents.excitatory(unit)
    p, peak = (record.p, record.highest) if record else (None, None)
    return p or 0.0, peak or 0.0, -unit.index


def classes_view(contents: Contents) -> ClassesPage:
    """The page of all classes in alphabetical order."""
    facts = contents.facts
    named = _named(contents)
    n_classes = len(named)
    return ClassesPage(
        head=Head(
            title=f"Classes · {facts.name}",
            description=f"The {wording.count(n_classes)} classes of {facts.name} by name.",
            root="",
            section="classes",
            card=atlas_card(contents, paths.CLASSES),
        ),
        words=wording.count(n_classes, "class", "classes"),
        classifier=facts.classifier.name if facts.classifier else None,
        groups=tuple(
            ClassGroup(letter, tuple(entry for _, entry in entries))
            for letter, entries in itertools.groupby(named, key=lambda each: each[0])
        ),
    )


def _named(contents: Contents) -> list[tuple[str, ClassEntry]]:
    """Every class with its first letter, sorted by name and then by index, as labels may repeat."""
    classes = [
        (contents.title(layer, index), layer.unit(index))
        for layer in contents.facts.layers
        if layer.is_classifier
        for index in range(layer.n_units)
    ]
    entries = [
        (
            _letter(name),
            ClassEntry(unit.index, unit_link(contents, unit.layer, unit.index, name, "")),
        )
        for name, unit in classes
    ]
    entries.sort(key=lambda each: (each[0], each[1].link.text.casefold(), each[1].index))
    return entries


def _letter(name: str) -> str:
    return name[0].upper() if name[0].isalpha() else "#"


def about_view(contents: Contents) -> AboutPage:
    """The page about the method, the glossary and the limits."""
    facts = contents.facts
    return AboutPage(
        head=Head(
            title=f"About · Atlas of {facts.name}",
            description="How the pictures were made, what the words mean, and what not to "
            "read into them.",
            root="",
            section="about",
            card=atlas_card(contents, paths.ABOUT),
        ),
        progressive=contents.spec.recipe == "progressive",
        varies_branches=_has_sums(contents)
        and any(recipe.get("branch_noise") for recipe in contents.spec.layers.values()),
        holds_others_down=any(recipe.get("rivals") for recipe in contents.spec.layers.values()),
        has_gates=any(layer.gates for layer in facts.layers),
        has_batch_norms=any(layer.batch_norm for layer in facts.layers),
        has_measured_sigmas=any(
            not layer.is_classifier and layer.sigma != "batch_norm" for layer in facts.layers
        ),
        specimens=tuple(_specimens(contents)),
        held_against=_held_against(contents),
        n_reference_images=N_REFERENCE_IMAGES,
        labels_source=facts.labels_source,
        preprocessing_source=facts.preprocessing_source,
        preprocessing=_spelled_preprocessing(facts.preprocessing),
        sha256=facts.sha256,
        recipes=tuple(_recipes(contents)),
        glossaries=tuple(_glossaries(contents)),
    )


def _specimens(contents: Contents) -> Iterator[Specimen]:
    """Pictures from evenly spaced layers, the first and the last with pictures among them."""
    layers = [layer for layer in contents.facts.layers if cover_units(contents, layer, 1)]
    n_steps = N_SPECIMENS - 1
    places = dict.fromkeys(round(nth * (len(layers) - 1) / n_steps) for nth in range(N_SPECIMENS))
    for layer in [layers[place] for place in places if layers]:
        alive = [unit for unit in contents.pictured(layer) if not contents.is_dead(unit)]
        unit = max(alive, key=lambda unit: _lead(known_of(contents, layer, unit)))
        entry, label = contents.entry(unit, EXCITATORY), contents.label(layer, unit.index)
        yield Specimen(
            contents.pages[layer.name].get(unit.index),
            paths.unit_picture(unit),
            picture_alt(contents, layer, unit.index),
            entry is not None and entry.width_px < SMALL_PX,
            label or unit.id,
        )


def _lead(known: Known) -> float:
    """How much further a unit's picture drives it than photographs do, or noise, if known."""
    other = known.noise if known.photograph is None else known.photograph
    return (known.reached or 0.0) - (other or 0.0)


def _held_against(contents: Contents) -> str:
    """What the pictures of units are compared with."""
    measured = {kind.name for kind in (NATURAL, NOISE) if contents.n_made(kind)}
    if NATURAL.name in measured:
        return "the best photograph reaches"
    return "plain noise reaches" if measured else "an ordinary image reaches"


def _spelled_preprocessing(preprocessing: Preprocessing) -> str:
    mean, std = (
        ", ".join(f"{value:.3g}" for value in values)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (
        f"short side {preprocessing.resize_px:.4g} px, of which the middle {preprocessing.size_px} "
        f"px are cut out; mean {mean}; standard deviation {std}"
    )


def _glossaries(contents: Contents) -> Iterator[str]:
    """The glossary templates of the kinds, in their order on pages, of sums, and of the family."""
    for kind in sorted(contents.kinds, key=lambda kind: kind.order):
        if kind.glossary:
            yield f"{kind.name}/{kind.glossary}"
    if _has_sums(contents):
        yield paths.RESIDUAL_GLOSSARY
    if contents.family_glossary:
        yield paths.FAMILY_GLOSSARY


def _has_sums(contents: Contents) -> bool:
    return any(layer.merge == "sum" for layer in contents.facts.layers)


def _recipes(contents: Contents) -> Iterator[RecipeUse]:
    """The recipes in forward order; layers with equal recipes share one."""
    users: dict[tuple[Fact, ...], list[str]] = {}
    for layer in contents.facts.layers:
        recipe = contents.spec.layers.get(layer.name)
        if recipe:
            users.setdefault(tuple(_settings(recipe.items())), []).append(layer.name)
    for settings, layers in users.items():
        yield RecipeUse(_spell_layers(layers), settings)


def _settings(items: Iterable[tuple[str, object]]) -> Iterator[Fact]:
    for name, value in sorted(items):
        yield Fact(name, _spell(value))


def _spell(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name} {_spell(inner)}" for name, inner in sorted(value.items()))
    if isinstance(value, list | tuple):
        return "; ".join(_spell(inner) for inner in value)
    if isinstance(value, float):
        return str(float(f"{value:.6g}"))  # 0.322, not 0.32199999999999995
    return str(value)


def _spell_layers(layers: Sequence[str]) -> str:
    if len(layers) <= 3:
        return ", ".join(layers)
    return f"{layers[0]} to {layers[-1]} ({wording.count(len(layers), 'layer')})"


def compare_view(contents: Contents) -> ComparePage:
    """The page that shows units side by side."""
    return ComparePage(
        Head(
            title=f"Compare · {contents.facts.name}",
            description=f"Units of {contents.facts.name} side by side.",
            root="",
            section="compare",
            card=atlas_card(contents, paths.COMPARE),
        ),
        contents.facts.layers[len(contents.facts.layers) // 2].unit(0).id,
    )


def embed_view(contents: Contents) -> EmbedPage:
    """The page for frames, which takes the unit from its address."""
    name = contents.facts.name
    return EmbedPage(Head(f"A unit of {name}", f"One unit of {name}, for a frame.", ""))


def lost_view(contents: Contents) -> LostPage:
    """The page that is shown for missing addresses."""
    return LostPage(
        Head(
            title=f"Not found · Atlas of {contents.facts.name}",
            description="There is no such page in this atlas.",
            root="",
        ),
        words="This atlas has no page at this address; perhaps the unit is not rendered yet.",
        marker=paths.MANIFEST,
    )
