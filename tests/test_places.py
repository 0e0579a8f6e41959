"""Stages and blocks follow from the sizes of maps and from where branches join."""

from __future__ import annotations

import pytest

from atlas.network.places import Junction, Spot, places


def placed(spots: dict[str, int | None], *junctions: Junction, **classes: str) -> dict[str, tuple]:
    """Stage and block of layers by name, from the sides of their maps."""
    given = [
        Spot(name, (side, side) if side else None, name == "fc") for name, side in spots.items()
    ]
    named = {name.replace("__", "."): kind for name, kind in classes.items()}
    found = places(given, junctions, named)
    return {name: tuple(place) for name, place in zip(spots, found, strict=True)}


RESIDUAL = {
    "conv1": 16,
    "layer1.0.a": 8,
    "layer1.0.b": 8,
    "layer1.1.a": 8,
    "layer2.0.a": 8,  # the stride is in its second conv
    "layer2.0.b": 4,
    "layer2.0.down": 4,
    "fc": None,
}


def test_blocks_hold_branches_and_their_sum_and_stages_are_named_after_their_module():
    first = Junction("layer1.0", ("layer1.0.a", "layer1.0.b"))
    second = Junction("layer2.0", ("layer2.0.a", "layer2.0.b", "layer2.0.down"))
    blocks = dict.fromkeys(("layer1__0", "layer1__1", "layer2__0"), "Block")
    kinds = {**blocks, "layer1": "Sequential"}
    assert placed(RESIDUAL, first, second, **kinds) == {
        "conv1": ("stem", None),
        "layer1.0.a": ("layer1", "layer1.0"),
        "layer1.0.b": ("layer1", "layer1.0"),
        "layer1.1.a": ("layer1", "layer1.1"),  # of the class of a block
        "layer2.0.a": ("layer2", "layer2.0"),
        "layer2.0.b": ("layer2", "layer2.0"),
        "layer2.0.down": ("layer2", "layer2.0"),
        "fc": ("classifier", None),
    }


def test_layers_in_a_row_are_stages_named_after_their_maps():
    found = placed(
        {"features.0": 16, "features.2": 16, "features.5": 8, "head.0": None, "fc": None}
    )
    assert [stage for stage, _ in found.values()] == [
        *("16 × 16", "16 × 16", "8 × 8", "head", "classifier"),
    ]
    assert {block for _, block in found.values()} == {None}


@pytest.mark.parametrize(
    ("junction", "block"),
    [
        (Junction("net.a.inner", ("net.a.inner.x", "net.a.inner.y")), "net.a.inner"),
        (Junction("net.a", ("net.a.inner.x",)), "net.a"),
        (Junction("net.a.add", ("net.a.inner.x", "net.a.inner.y")), "net.a"),  # a module that adds
        (Junction("", ("net.a.inner.x", "net.b")), None),  # the network itself is no block
        (Junction("net.a", ()), None),  # nothing on the way
    ],
)
def test_a_block_is_the_smallest_module_that_holds_a_branch_and_its_junction(junction, block):
    found = placed({"net.a.inner.x": 8, "net.a.inner.y": 8, "net.b": 8}, junction)
    assert found["net.a.inner.x"][1] == block


def test_of_nested_blocks_the_outermost_counts():
    inner, outer = Junction("net.a.0", ("net.a.0.x",)), Junction("net.a", ("net.a.0.x", "net.a.1"))
    found = placed({"net.a.0.x": 8, "net.a.1": 8}, inner, outer)
    assert {block for _, block in found.values()} == {"net.a"}


def test_containers_are_not_a_class_of_blocks():
    junction = Junction("net.0", ("net.0.x",))
    found = placed({"net.0.x": 8, "net.1.x": 8}, junction, net__0="Sequential", net__1="Sequential")
    assert [block for _, block in found.values()] == ["net.0", None]


def test_gates_are_in_the_stage_of_what_they_multiply():
    spots = {
        "a.conv": 8,
        "a.squeeze": 1,
        "a.excite": None,
        "a.project": 8,
        "b.conv": 4,
        "c.conv": 1,
    }
    assert [stage for stage, _ in placed(spots).values()] == ["a", "a", "a", "a", "b", "c"]
    block = Junction("a", ("a.conv", "a.squeeze", "a.excite", "a.project"))
    assert [stage for stage, _ in placed(spots, block).values()] == ["8 × 8"] * 4 + ["b", "c"]


def test_maps_of_several_sizes_side_by_side_are_one_stage():
    spots = {"one.x": 8, "two.x": 8, "two.y": 4, "two.z": 8, "two.w": 4, "three.x": 2}
    assert [stage for stage, _ in placed(spots).values()] == ["one", *["two"] * 4, "three"]


def test_equal_sizes_far_apart_are_told_from_each_other():
    found = placed({"a.x": 8, "b.x": 4, "a.y": 8, "b.y": 4})
    assert len({stage for stage, _ in found.values()}) == 4
