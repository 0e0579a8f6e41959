"""Which units a selection names: by layers, by numbers, by classes."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
import site_factory

from atlas.asked import Selection
from atlas.errors import SpecError
from atlas.selection import parse_ranges, select_units

FACTS = site_factory.network()
SYNONYMS = (
    "tench, Tinca tinca",
    "goldfish, Carassius auratus",
    "great white shark, white shark, man-eater",
    "crane",
    "crane, wading bird",
    "red",
    "green",
    "red, green",
)


def chosen(**fields: object) -> list[str]:
    return [unit.id for unit in select_units(Selection(**fields), FACTS)]


def test_ranges_include_both_ends():
    assert parse_ranges("0-15,40") == (range(0, 16), range(40, 41))
    assert parse_ranges(" 3 , 7-7 ") == (range(3, 4), range(7, 8))


@pytest.mark.parametrize(
    "text", ["", "a", "1-", "-3", "1,,2", "1-2-3", "0x10", "1.5", "²", "9" * 5000, "0-" + "9" * 19]
)
def test_unreadable_ranges_show_how_to_write_them(text):
    with pytest.raises(SpecError, match="write them like 0-15,40"):
        parse_ranges(text)


def test_a_network_without_classes_has_none_to_choose():
    convs = dataclasses.replace(FACTS, labels=(), layers=FACTS.layers[:-1])
    with pytest.raises(SpecError, match="has no classes to choose from; leave --classes out"):
        select_units(Selection(classes=("3",)), convs)


def test_a_backward_range_is_turned_round_in_the_message():
    with pytest.raises(SpecError, match="write 2-5"):
        parse_ranges("5-2")


def test_an_empty_selection_is_the_whole_network():
    assert len(chosen()) == FACTS.n_units


def test_globs_choose_layers_in_forward_order_and_once():
    ids = chosen(layers=("fc", "layer1.0.*", "layer1.0.conv1"), units=(range(1),))
    assert ids == [
        "layer1.0.conv1:0",
        "layer1.0.conv2:0",
        "layer1.0.conv3:0",
        "layer1.0.downsample.0:0",
        "fc:0",
    ]


def test_overlapping_ranges_choose_each_unit_once_and_in_order():
    ids = chosen(layers=("conv1",), units=(range(3, 5), range(2, 4)))
    assert ids == ["conv1:2", "conv1:3", "conv1:4"]


def test_an_unknown_layer_names_the_closest():
    with pytest.raises(
        SpecError, match=r"no layer 'layer1\.0\.cnov2' in TinyNet.*layer1\.0\.conv2"
    ):
        chosen(layers=("layer1.0.cnov2",))


@pytest.mark.parametrize(
    "units", [range(5, 6), range(0, 6), range(4, 10**12), range(10**12, 10**12 + 1)]
)
def test_a_unit_out_of_range_says_what_there_is(units):
    with pytest.raises(SpecError, match=r"out of range for layer1\.0\.conv1.*5 units: 0-4"):
        chosen(layers=("layer1.0.conv1",), units=(units,))


def test_layers_with_fewer_units_give_those_that_they_have():
    sizes = {layer.name: layer.n_units for layer in FACTS.layers}
    largest = max(sizes.values())
    ids = chosen(layers=tuple(sizes), units=(range(0, largest),))
    assert len(ids) == sum(sizes.values())


def test_classes_are_found_by_label_index_and_whatever_the_case():
    assert chosen(classes=("HAT-trick", "éclair", "0")) == ["fc:0", "fc:5", "fc:6"]


def test_a_label_that_two_classes_share_chooses_both():
    assert chosen(classes=("crane",)) == ["fc:2", "fc:4"]


def test_a_classifier_that_the_weights_do_not_have_is_said_to_be_missing():
    layers = tuple(layer for layer in FACTS.layers if not layer.is_classifier)
    facts = dataclasses.replace(FACTS, layers=layers, labels=())
    with pytest.raises(SpecError, match=r"no layer 'fc' in TinyNet, whose weights have no class"):
        select_units(Selection(layers=("fc",)), facts)


def test_an_unknown_class_names_the_closest():
    with pytest.raises(
        SpecError, match=r"no class 'great gray owl' among the 8 labels.*great grey owl"
    ):
        chosen(classes=("great gray owl",))


def test_a_class_index_out_of_range_is_refused():
    with pytest.raises(SpecError, match="no class '8'"):
        chosen(classes=("8",))


def test_classes_alone_choose_nothing_else_and_join_what_layers_choose():
    assert chosen(classes=("tench",)) == ["fc:0"]
    assert chosen(classes=("tench",), layers=("conv1",), units=(range(2),)) == [
        "conv1:0",
        "conv1:1",
        "fc:0",
    ]


def classes_among(labels: tuple[str, ...], *texts: str) -> list[int]:
    """Indices of the classes that texts choose, where these are the labels."""
    facts = dataclasses.replace(FACTS, labels=labels)
    return [unit.index for unit in select_units(Selection(classes=texts), facts)]


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("tench, Tinca tinca", [0]),  # a whole label
        ("TENCH, tinca TINCA", [0]),
        ("tench,Tinca tinca", [0]),
        ("tench", [0]),
        ("Tinca tinca", [0]),
        ("white shark", [2]),
        ("man-eater", [2]),
        ("white shark, man-eater", [2]),  # two names of one class
        ("tench, Tinca tinca, goldfish, Carassius auratus", [0, 1]),
        ("goldfish, Carassius auratus,man-eater, tench", [0, 1, 2]),
        ("goldfish, 0, crane", [0, 1, 3]),
        (" tench ,, goldfish, ", [0, 1]),
    ],
)
def test_a_label_with_commas_goes_by_all_of_it_and_by_each_of_its_names(
    text: str, indices: list[int]
):
    assert classes_among(SYNONYMS, text) == indices


def test_a_label_with_commas_is_meant_rather_than_the_classes_it_could_be_split_into():
    assert classes_among(SYNONYMS, "red, green") == [7]
    assert classes_among(SYNONYMS, "green, red") == [5, 6]
    assert classes_among(SYNONYMS, "red, green, red") == [5, 7]


def test_a_whole_label_is_meant_rather_than_a_name_among_others():
    assert classes_among(SYNONYMS, "crane") == [3]
    assert classes_among(SYNONYMS, "crane, wading bird") == [4]
    assert classes_among(SYNONYMS, "wading bird") == [4]


def test_a_label_as_it_is_written_is_meant_rather_than_one_in_another_case():
    labels = ("Turkey", "turkey", "b", "c", "d", "e", "f", "g")
    assert classes_among(labels, "Turkey") == [0]
    assert classes_among(labels, "turkey") == [1]


def test_where_only_the_case_differs_all_labels_that_could_be_meant_are_chosen():
    labels = ("Turkey", "turkey", "b", "c", "d", "e", "f", "g")
    assert classes_among(labels, "TURKEY") == [0, 1]


def test_classes_are_chosen_by_ranges_of_their_numbers():
    assert classes_among(SYNONYMS, "1-3") == [1, 2, 3]
    assert classes_among(SYNONYMS, "1-3, 2-5, red") == [1, 2, 3, 4, 5]
    assert classes_among(SYNONYMS, "0-7") == [*range(8)]
    assert chosen(classes=("9-pin bowling",)) == ["fc:7"]  # a label is no range


@pytest.mark.parametrize("text", ["5-8", "2-", "-2", "1-2-3"])
def test_ranges_of_classes_that_are_not_there_are_refused(text: str):
    with pytest.raises(SpecError, match=f"no class '{text}'"):
        classes_among(SYNONYMS, text)


def test_a_backward_range_of_classes_is_turned_round_in_the_message():
    with pytest.raises(SpecError, match="'3-1' runs backwards; write 1-3"):
        chosen(classes=("3-1",))


def test_an_unknown_name_among_known_ones_is_the_one_that_is_told():
    with pytest.raises(SpecError, match=r"no class 'goldfsh' .*closest: goldfish"):
        classes_among(SYNONYMS, "tench, Tinca tinca, goldfsh")


def test_the_name_of_a_module_means_all_layers_inside_it():
    inside = [layer.name for layer in FACTS.layers if layer.name.startswith("layer1.")]
    assert len(inside) > 4
    assert chosen(layers=("layer1",), units=(range(1),)) == [f"{name}:0" for name in inside]
    block = [name for name in inside if name.startswith("layer1.1.")]
    assert chosen(layers=("layer1.1",), units=(range(1),)) == [f"{name}:0" for name in block]
    stages = [layer.name for layer in FACTS.layers if layer.name.startswith("layer")]
    assert chosen(layers=("layer*",), units=(range(1),)) == [f"{name}:0" for name in stages]


def test_the_beginning_of_a_module_s_name_is_not_its_name():
    with pytest.raises(SpecError, match="no layer 'lay'"):
        chosen(layers=("lay",))


def test_a_layer_is_pickled_without_its_units():
    layer = FACTS.layers[0]
    assert len(layer.units) == layer.n_units
    found = pickle.loads(pickle.dumps(layer))
    assert found == layer and "units" not in vars(found)
    assert found.units == layer.units
