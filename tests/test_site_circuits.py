"""The circuit on a unit's page: partners with their pictures, slices, spread, and the sum."""

import dataclasses
from collections.abc import Collection
from pathlib import Path

import pytest
import site_factory
from site_reader import Page

from atlas import paths
from atlas.kinds.circuit.view import kernel_of, section_view
from atlas.site.contents import Contents
from atlas.site.writer import write_site
from atlas.units import Unit

KINDS = ("filter", "circuit", "excitatory")
UNIT = Unit("layer1.0.conv2", 2)


def contents(kinds: Collection[str] = KINDS, but: Collection[str] = ()) -> Contents:
    facts = site_factory.network()
    return site_factory.contents(
        facts, wanted=lambda unit, kind: kind in kinds and unit.id not in but
    )[0]


def shown(site: Path, unit: Unit) -> Page:
    return Page((site / paths.unit_page(unit)).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("circuits")
    write_site(contents(), out_dir)
    return out_dir


def test_partners_are_named_pictured_linked_and_signed(site: Path) -> None:
    found = shown(site, UNIT)
    text = " ".join(found.text.split())
    layer = "layer1.0.conv1"
    assert f"Excited by +0.50{layer}:0+0.50 {layer}:1+0.40 Inhibited by" in text
    assert f"Inhibited by +0.50{layer}:4−0.25 {layer}:3−0.025 Show more" in text
    assert "Excites +0.50layer1.0.conv3:0+0.50 +0.40layer1.0.conv3:1 Inhibits" in text
    for layer, indices in (("layer1.0.conv1", (0, 1, 4, 3)), ("layer1.0.conv3", (0, 1, 19, 18))):
        for index in indices:
            assert f"../{layer}/{index:04d}.html" in found.targets
            assert f"../{layer}/{index:04d}.webp" in found.targets
            assert (site / layer / f"{index:04d}.webp").is_file()


def test_the_others_are_folded_away_and_only_named(site: Path) -> None:
    found = shown(site, UNIT)
    text = " ".join(found.text.split())
    more = [f"layer1.0.conv1:{nth} {strength}" for nth, strength in ((2, "+0.30"), (3, "+0.20"))]
    assert f"Show more {' '.join(more)} layer1.0.conv1:4 +0.10" in text
    assert len(found.all("details")) == 2
    assert "../layer1.0.conv1/0002.webp" not in found.targets


def test_the_drawing_goes_on_for_two_steps_up_and_down() -> None:
    """Beyond the strongest partner of each sign is what that is connected with most strongly."""
    known = contents()
    layers = {layer.name: layer for layer in known.facts.layers}
    unit = Unit("layer1.0.conv3", 1)
    with site_factory.changed_numbers(known, "layer1.0.conv2", "circuit") as numbers:
        numbers["inhibited_by"][0] = [[layers["layer1.0.conv1"].index, 2, -0.9]]
    circuit = section_view(known, layers[unit.layer], unit)
    assert circuit
    up, further = circuit.inputs[0].rows
    assert up.partner.link.text == "0" and up.beyond and further.beyond is None
    assert (up.beyond.name, up.beyond.strength) == ("layer1.0.conv1:2", "−0.90")
    assert up.beyond.href == "../layer1.0.conv1/0002.html"
    down = circuit.outputs[0].rows[0]
    assert down.partner.layer == "layer1.0.downsample.0" and down.beyond
    assert down.beyond.name == "layer1.1.conv1:0"
    assert circuit.picture == "0001.webp"


def test_pictures_are_joined_by_the_kernel_of_the_one_that_reads() -> None:
    """Cell 0 of conv2's sheet: its slices are 3 weights of 2 px, input 4 first."""
    known = contents()
    layers = {layer.name: layer for layer in known.facts.layers}
    circuit = section_view(known, layers["layer1.0.conv1"], Unit("layer1.0.conv1", 3))
    assert circuit
    drawn, other = circuit.outputs[0].rows
    assert drawn.kernel == ("7 0 6 6", "../layer1.0.conv2/filters-00.webp")
    assert other.kernel is None and drawn.beyond and drawn.beyond.kernel is None  # one weight
    above = section_view(known, layers["layer1.0.conv3"], Unit("layer1.0.conv3", 3))
    assert above and above.inputs[0].rows[0].beyond
    assert above.inputs[0].rows[0].beyond.kernel == (
        "28 0 6 6",
        "../layer1.0.conv2/filters-00.webp",
    )


def test_a_kernel_finds_its_slice_where_inputs_are_written_by_several_layers() -> None:
    known = contents()
    reader = known.facts.layer(UNIT.layer)
    with site_factory.changed_numbers(known, UNIT.id, "filter") as numbers:
        numbers.update(inputs=[3, 2, 1, 0], columns=2)
    with site_factory.changed_numbers(known, UNIT.layer, "circuit") as numbers:
        numbers["input_units"] = [[1, 0], [1, 1], [0, 0], [0, 1], [0, 2]]
    first = known.facts.layers[0].name
    kernel = kernel_of(known, reader, UNIT.index, Unit(first, 1))
    assert kernel and kernel.view_box == f"{2 * 40} 0 6 6"  # channel 3, the first slice
    assert kernel_of(known, reader, UNIT.index, Unit(first, 2)) is None  # channel 4 is not drawn
    assert kernel_of(known, reader, UNIT.index, Unit(first, 9)) is None  # nor is it read


def test_pages_are_written_anew_when_what_is_two_steps_away_changes(tmp_path: Path) -> None:
    known = contents()
    page = tmp_path / paths.unit_page(Unit("layer1.0.conv3", 1))
    write_site(known, tmp_path)
    before = page.read_text(encoding="utf-8")
    changed = contents()
    with site_factory.changed_numbers(changed, "layer1.0.conv2", "circuit") as numbers:
        numbers["inhibited_by"][0] = [[known.facts.layer("layer1.0.conv1").index, 2, -0.9]]
    write_site(changed, tmp_path)
    assert page.read_text(encoding="utf-8") != before


def test_a_list_of_nobody_is_not_shown(tmp_path: Path) -> None:
    known = contents()
    with site_factory.changed_numbers(known, UNIT.layer, "circuit") as numbers:
        numbers["inhibits"][UNIT.index] = []
    write_site(known, tmp_path)
    text = shown(tmp_path, UNIT).text
    assert "Inhibits" not in text and "Inhibited by" in text


def test_the_slice_of_an_input_is_cut_out_of_the_units_own_picture(tmp_path: Path) -> None:
    """Cell 2 of sheets of 5 columns of 40 px; slices of 3 weights of 2 px, and gaps of 1 px."""
    known = contents()
    with site_factory.changed_numbers(known, UNIT.id, "filter") as numbers:
        numbers.update(inputs=[3, 2, 1, 0], columns=2)
    write_site(known, tmp_path)
    found = shown(tmp_path, UNIT)
    hidden = [svg for svg in found.all("svg") if svg.get("aria-hidden") == "true"]
    slices = [svg["viewbox"] for svg in hidden if svg.get("viewbox", "").endswith(" 6 6")]
    left = 2 * 40
    places = {3: (0, 0), 2: (7, 0), 1: (0, 7), 0: (7, 7)}  # in the order of the montage
    boxes = {channel: f"{left + x} {y} 6 6" for channel, (x, y) in places.items()}
    assert slices == [boxes[channel] for channel in (0, 1, 3)]  # 4 is not in the montage
    assert {use["href"] for use in found.all("use")} == {"#weights"}
    assert [image["href"] for image in found.all("image") if image.get("id") == "weights"] == [
        "filters-00.webp"
    ]


def test_the_spread_is_a_sentence_with_its_explanation(site: Path) -> None:
    found = shown(site, Unit("layer1.1.conv1", 0))
    text = " ".join(found.text.split())
    assert "About 4 of its 20 inputs count; the five strongest have 31 % of the sum." in text
    about = Page((site / "about.html").read_text(encoding="utf-8"))
    for name in ("strength", "effective", "residual"):
        assert name in about.ids
    assert {"../about.html#strength", "../about.html#effective"} <= set(found.targets)


def test_few_inputs_have_no_five_strongest(site: Path) -> None:
    assert "About 4 of its 5 inputs count.\n" in shown(site, UNIT).text


def test_those_that_write_the_same_channel_are_linked(site: Path) -> None:
    found = shown(site, Unit("layer1.0.conv3", 7))
    text = " ".join(found.text.split())
    assert (
        "Writes channel 7 of the sum together with layer1.0.downsample.0, layer1.1.conv3." in text
    )
    assert "../layer1.1.conv3/0007.html" in found.targets
    assert "of the sum" not in shown(site, UNIT).text


def test_partners_in_several_layers_are_named_with_their_layers(tmp_path: Path) -> None:
    known = contents()
    layer = known.facts.layer("layer1.1.conv1")
    with site_factory.changed_numbers(known, layer.name, "circuit") as numbers:
        numbers["excited_by"][0] = [[3, 11, 0.7], [4, 12, 0.6]]
    circuit = section_view(known, layer, layer.unit(0))
    assert circuit
    assert circuit.inputs[0].title == "Excited by"
    assert [row.partner.layer for row in circuit.inputs[0].rows] == [
        "layer1.0.conv3",
        "layer1.0.downsample.0",
    ]
    write_site(known, tmp_path)
    text = " ".join(shown(tmp_path, layer.unit(0)).text.split())
    assert "layer1.0.conv3:11+0.70 layer1.0.downsample.0:12+0.60" in text


def test_classes_have_channels_and_channels_have_classes(tmp_path: Path) -> None:
    known = contents()
    last = known.facts.layers[-2]
    classes = known.facts.layers[-1].index
    with site_factory.changed_numbers(known, last.name, "circuit") as numbers:
        numbers["speaks_for"] = [[[classes, 3, 0.31], [classes, 1, 0.2]]] * last.n_units
    write_site(known, tmp_path)
    channel = shown(tmp_path, last.unit(0))
    text = " ".join(channel.text.split())
    assert f"Speaks for +0.31great grey owl +0.20{site_factory.EVIL}" in text
    assert "how many σ a unit moves, or how far the logit of a class moves, when a unit" in text
    assert "../fc/0003.html" in channel.targets
    of_class = " ".join(shown(tmp_path, Unit("fc", 3)).text.split())
    assert f"{last.name}:0+0.50" in of_class
    assert f"{last.name}:{last.n_units - 1}−0.25" in of_class
    assert "how far the logit of a class moves when a unit that it reads moves by 1 σ" in of_class


def test_a_partner_without_page_or_picture_is_bare_words(tmp_path: Path) -> None:
    write_site(contents(but=("layer1.0.conv1:1",)), tmp_path)
    found = shown(tmp_path, UNIT)
    assert "1+0.40" in found.text
    assert "../layer1.0.conv1/0001.html" not in found.targets
    assert "../layer1.0.conv1/0001.webp" not in found.targets


def test_without_pictures_there_are_links_and_without_weights_no_slices(tmp_path: Path) -> None:
    write_site(contents(("filter", "circuit")), tmp_path / "filters")
    found = shown(tmp_path / "filters", UNIT)
    assert not found.all("img") and "../layer1.0.conv1/0001.html" in found.targets
    write_site(contents(("excitatory", "circuit")), tmp_path / "pictures")
    found = shown(tmp_path / "pictures", UNIT)
    assert not found.all("use") and "Excited by" in found.text


def test_the_first_layer_reads_the_image_and_nobody(site: Path) -> None:
    text = shown(site, Unit("conv1", 0)).text
    assert "Excited by" not in text and "inputs count" not in text and "Excites" in text


def test_what_was_not_built_leaves_no_trace(tmp_path: Path) -> None:
    write_site(contents(("filter", "excitatory")), tmp_path)
    found = shown(tmp_path, UNIT)
    assert "Circuit" not in found.text and not found.all("use")


def with_layers(known: Contents, **changes: dict[str, object]) -> Contents:
    """The contents with facts of some layers changed."""
    layers = tuple(
        dataclasses.replace(layer, **changes.get(layer.name.replace(".", "_"), {}))
        for layer in known.facts.layers
    )
    return dataclasses.replace(known, facts=dataclasses.replace(known.facts, layers=layers))


def test_connections_that_are_not_known_are_said_to_be_on_both_ends() -> None:
    reader, writer = "layer1.0.conv2", "layer1.0.conv1"
    known = with_layers(contents(), layer1_0_conv2={"inputs": (writer,)})
    with site_factory.changed_numbers(known, reader, "circuit") as numbers:
        for name in ("excited_by", "inhibited_by", "n_effective", "top_share"):
            numbers.pop(name, None)
    of_reader = section_view(known, known.facts.layer(reader), Unit(reader, 2))
    of_writer = section_view(known, known.facts.layer(writer), Unit(writer, 2))
    assert of_reader and of_writer
    end = "are not known: what lies between is not followed."
    assert of_reader.unknown == f"Its connections from {writer} {end}"
    assert of_writer.unknown == f"Its connections to {reader} {end}"
    assert {each.title for each in of_reader.outputs} == {"Excites", "Inhibits"}


def test_a_network_that_cannot_be_followed_says_so_instead_of_showing_nothing(
    tmp_path: Path,
) -> None:
    known = with_layers(contents(), layer1_0_conv2={"is_traced": False})
    with site_factory.changed_numbers(known, UNIT.layer, "circuit") as numbers:
        numbers.clear()
    write_site(known, tmp_path)
    text = " ".join(shown(tmp_path, UNIT).text.split())
    assert "Circuit Its connections are not known: the code between the layers" in text
    assert "Strengths" not in text


def test_a_gate_names_what_it_multiplies(tmp_path: Path) -> None:
    known = with_layers(contents(), layer1_0_conv3={"gates": (UNIT.layer,)})
    write_site(known, tmp_path)
    found = shown(tmp_path, UNIT)
    text = " ".join(found.text.split())
    assert "It is a gate: its output multiplies what layer1.0.conv3 reads." in text
    assert "../layer1.0.conv3/index.html" in found.targets


def test_slices_are_those_of_the_units_that_write_the_channels() -> None:
    """Input channels 0 to 4 are written by units of two layers."""
    known = contents()
    with site_factory.changed_numbers(known, UNIT.id, "filter") as numbers:
        numbers.update(inputs=[3, 2, 1, 0], columns=2)
    with site_factory.changed_numbers(known, UNIT.layer, "circuit") as numbers:
        numbers["input_units"] = [[1, 0], [1, 1], [0, 0], [0, 1], [0, 2]]
        numbers["excited_by"][UNIT.index] = [[0, 1, 0.5], [1, 1, 0.4], [0, 2, 0.3]]
    circuit = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert circuit
    left = 2 * 40
    assert [row.partner.slice for row in circuit.inputs[0].rows] == [
        f"{left} 0 6 6",  # channel 3 of the input, the first slice
        f"{left} 7 6 6",  # channel 1, the third
    ]
