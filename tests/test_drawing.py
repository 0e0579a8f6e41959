"""Drawings of networks, against graphs whose branches are known because they were made by hand."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import pytest
import site_factory
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas.network.walk import walk
from atlas.site.branches import Fork, Path, layers_of, path_through
from atlas.site.drawing import MAX_ALIKE, MAX_WIDTH, Fold, draw, residual
from atlas.site.drawing_view import drawing_view
from atlas.units import Layer

SIGNS = {"sum": "+", "concat": "|", "product": "x", "mixed": "?"}


def one(name: str, inputs: str = "", merge: str = "", gates: str = "", **changes: object) -> Layer:
    """A layer that reads those named in `inputs`."""
    names = tuple(inputs.split())
    merge = merge or ("sum" if len(names) > 1 else "")
    more = {"inputs": names, "merge": merge, "gates": tuple(gates.split()), "stage": "all"}
    return site_factory.layer(name, 4, 4, **{**more, **changes})


def spelled(path: Path | None, prefix: str = "") -> str:
    """`a +(, b c) d`: a, then what comes in added to what b and c make of it, then d."""
    if path is None:
        return "not drawn"
    return " ".join(
        f"{SIGNS[step.mark]}({', '.join(spelled(each, prefix) for each in step.branches)})"
        if isinstance(step, Fork)
        else step.name.removeprefix(prefix)
        for step in path
    )


def block(*inside: Layer, reader: Layer | None = None) -> str:
    """The path through a block that is between a layer called `before` and a reader."""
    layers = [one("before"), *(dataclasses.replace(each, block="b") for each in inside)]
    numbered = site_factory.numbered([*layers, *([reader] if reader else [])])
    return spelled(path_through(numbered[1 : len(inside) + 1], numbered))


def test_a_chain():
    layers = (one("a", "before"), one("b", "a"), one("c", "b"))
    assert block(*layers, reader=one("z", "c")) == "a b c"


def test_a_branch_is_added_to_what_comes_in():
    layers = (one("a", "before"), one("b", "a"))
    assert block(*layers, reader=one("z", "b before")) == "+(, a b)"


def test_a_branch_is_added_to_a_sum_that_comes_in():
    layers = (one("a", "before older"), one("b", "a"))
    assert block(*layers, reader=one("z", "b before older")) == "+(, a b)"
    assert block(*layers, reader=one("z", "b older")) == "a b"  # something else is added


def test_a_projection():
    layers = (one("a", "before"), one("b", "a"), one("p", "before"))
    assert block(*layers, reader=one("z", "b p")) == "+(a b, p)"


def test_a_last_block_that_nothing_reads():
    assert block(one("a", "before"), one("b", "a")) == "+(, a b)"
    layers = (one("a", "before"), one("b", "a"), one("p", "before"))
    assert block(*layers) == "+(a b, p)"


def test_a_gate_multiplies_what_it_is_computed_from():
    layers = (
        one("a", "before"),
        one("b", "a"),
        one("down", "b"),
        one("up", "down"),
        one("c", "b", gates="up"),
    )
    assert block(*layers, reader=one("z", "c")) == "a b x(, down up) c"
    assert block(*layers, reader=one("z", "c before")) == "+(, a b x(, down up) c)"


def test_a_gate_at_the_end_of_a_branch_that_is_added():
    layers = (one("a", "before"), one("b", "a"), one("down", "b"), one("up", "down"))
    reader = one("z", "before b", "sum", "up")
    assert block(*layers, reader=reader) == "+(, a b x(, down up))"


def test_branches_side_by_side():
    layers = (one("squeeze", "before"), one("e1", "squeeze"), one("e3", "squeeze"))
    assert block(*layers, reader=one("z", "e1 e3", "concat")) == "squeeze |(e1, e3)"


def test_branches_that_part_again():
    layers = (
        one("a", "before"),
        one("b1", "before"),
        one("b2", "b1"),
        one("b3", "b1"),
        one("pooled", "before"),
    )
    reader = one("z", "a b2 b3 pooled", "concat")
    assert block(*layers, reader=reader) == "|(a, b1 |(b2, b3), pooled)"


def test_a_dense_block_is_a_series_of_concatenations():
    layers = (
        one("a1", "before"),
        one("a2", "a1"),
        one("b1", "before a2", "concat"),
        one("b2", "b1"),
        one("c1", "before a2 b2", "concat"),
        one("c2", "c1"),
    )
    reader = one("z", "before a2 b2 c2", "concat")
    assert block(*layers, reader=reader) == "|(, a1 a2) |(, b1 b2) |(, c1 c2)"


def test_the_order_of_running_does_not_matter():
    late, early = (one("p", "before"), one("a", "before"), one("b", "a")), one("z", "b p")
    assert block(*late, reader=early) == "+(p, a b)"


def test_what_is_too_tangled_is_not_drawn():
    layers = (one("a", "before"), one("b", "before"), one("c", "a"), one("d", "a b"))
    assert block(*layers, reader=one("z", "c d")) == "not drawn"


def test_what_was_read_through_hooks_is_not_drawn():
    layers = (one("a", "before", is_traced=False), one("b", "a"))
    assert block(*layers, reader=one("z", "b")) == "not drawn"


def test_without_inputs_the_writers_tell():
    layers = site_factory.network(n_blocks=(2,)).layers
    rows = draw(layers).rows
    assert [spelled(row.path, f"{row.name}.") for row in rows[1:3]] == [
        "+(conv1 conv2 conv3, downsample.0)",
        "+(, conv1 conv2 conv3)",
    ]


# Any series of layers and forks


def paths(depth: int, mark: str) -> st.SearchStrategy[Path]:
    """Series of layers without names, and of forks whose branches join in one way."""
    leaf = st.just("layer")
    if not depth:
        return st.lists(leaf, min_size=1, max_size=3).map(tuple)
    branch = paths(depth - 1, mark).map(lambda path: ("layer", *path))
    alone = branch.map(lambda path: (mark, (), path))
    several = st.lists(branch, min_size=2, max_size=3).map(lambda each: (mark, *each))
    return st.lists(leaf | alone | several, min_size=1, max_size=3).map(tuple)


def wired(path: Path, inputs: tuple[str, ...], mark: str, numbers: Iterator[int]) -> tuple:
    """The layers of a path of `paths`, in forward order, the path of them, and what it gives."""
    layers: list[Layer] = []
    steps = []
    for step in path:
        if step == "layer":
            made = one(f"l{next(numbers)}", " ".join(inputs), mark if len(inputs) > 1 else "")
            layers.append(made)
            steps.append(made.name)
            inputs = (made.name,)
        else:
            parts = [wired(branch, inputs, mark, numbers) for branch in step[1:]]
            layers += itertools.chain(*(part[0] for part in parts))
            steps.append(f"{SIGNS[mark]}({', '.join(part[1] for part in parts)})")
            inputs = tuple(dict.fromkeys(itertools.chain(*(part[2] for part in parts))))
    return layers, " ".join(steps), inputs


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["sum", "concat"]).flatmap(lambda m: st.tuples(st.just(m), paths(2, m))))
def test_any_series_of_layers_and_forks_is_found_again(drawn):
    mark, path = drawn
    layers, expected, outputs = wired(path, ("before",), mark, itertools.count())
    reader = one("z", " ".join(outputs), mark if len(outputs) > 1 else "")
    assert block(*layers, reader=reader) == expected


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_the_connections_every_layer_is_drawn_once(data):
    layers: list[Layer] = []
    for number in range(data.draw(st.integers(1, 12))):
        names = [layer.name for layer in layers]
        read = data.draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) if names else []
        merge = data.draw(st.sampled_from(["sum", "concat", "product", "mixed"]))
        gates = data.draw(st.lists(st.sampled_from(read), max_size=1)) if len(read) > 1 else []
        layers.append(
            one(
                f"n{number}",
                " ".join(read),
                merge if len(read) > 1 else "",
                " ".join(gates),
                block=data.draw(st.sampled_from([None, "b", "c"])),
                stage=data.draw(st.sampled_from(["s", "t"])),
            )
        )
    assert_each_once(site_factory.numbered(layers))


def assert_each_once(layers: Sequence[Layer]) -> None:
    rows = draw(layers).rows
    assert sorted(layer.index for row in rows for layer in row.layers) == [*range(len(layers))]
    for row in rows:
        if row.path is not None:
            assert sorted(map(repr, layers_of(row.path))) == sorted(map(repr, row.layers))


# Rows, folds and sizes


def residual_blocks(n_blocks: int, widths: Iterable[int] = ()) -> tuple[Layer, ...]:
    """Blocks of two layers each that are added to what comes in."""
    read = "stem"
    layers = [one("stem", stage="stem")]
    for nth, width in enumerate([*widths, *[8] * n_blocks][:n_blocks]):
        module = {"block": f"s.{nth}", "stage": "s"}
        layers.append(one(f"s.{nth}.a", read, **module))
        layers.append(dataclasses.replace(one(f"s.{nth}.b", f"s.{nth}.a", **module), n_units=width))
        read += f" s.{nth}.b"
    return site_factory.numbered([*layers, one("fc", read, stage="classifier")])


def test_a_few_blocks_of_one_shape_are_all_in_sight():
    (_, stage, _) = draw(residual_blocks(MAX_ALIKE)).stages
    assert [part.name for part in stage.parts] == [f"s.{nth}" for nth in range(MAX_ALIKE)]


def test_of_many_blocks_of_one_shape_the_ends_are_in_sight():
    n_blocks = MAX_ALIKE + 3
    drawing = draw(residual_blocks(n_blocks, widths=(16,)))
    first, second, fold, last = drawing.stages[1].parts
    assert isinstance(fold, Fold)
    assert [each.name for each in (first, second, last)] == ["s.0", "s.1", f"s.{n_blocks - 1}"]
    assert [row.name for row in fold.rows] == [f"s.{nth}" for nth in range(2, n_blocks - 1)]
    assert_each_once([layer for row in drawing.rows for layer in row.layers])


def test_parts_of_a_block_have_rows_and_names_of_their_own():
    module = {"block": "dense"}
    layers = site_factory.numbered(
        [
            one("stem"),
            one("dense.one.a", "stem", **module),
            one("dense.one.b", "dense.one.a", **module),
            one("dense.two.a", "stem dense.one.b", "concat", **module),
            one("dense.two.b", "dense.two.a", **module),
            one("next", "stem dense.one.b dense.two.b", "concat"),
        ]
    )
    (stage,) = draw(layers).stages
    assert [row.name for row in draw(layers).rows] == [None, "dense.one", "dense.two", None]
    assert stage.n_blocks == 1
    view = drawing_view(layers, {layer.name: () for layer in layers})
    assert view.stages[0].words.startswith("1 block in 2 parts, 6 convolutions, ")


def test_a_long_chain_is_broken_into_rows():
    names = [f"c{nth}" for nth in range(2 * MAX_WIDTH + 1)]
    chain = site_factory.numbered(
        one(name, before) for before, name in zip(["", *names], names, strict=False)
    )
    assert [len(row.layers) for row in draw(chain).rows] == [MAX_WIDTH, MAX_WIDTH, 1]


@pytest.mark.parametrize(("n_branch", "is_large"), [(3, True), (4, False)])
def test_a_network_is_drawn_large_where_there_is_room(n_branch: int, is_large: bool):
    module = {"block": "b"}
    names = ["stem", *(f"b.{nth}" for nth in range(n_branch))]
    branch = [one(name, before, **module) for before, name in itertools.pairwise(names)]
    layers = site_factory.numbered(
        [one("stem"), *branch, one("fc", f"stem {names[-1]}", stage="classifier")]
    )
    drawing = draw(layers)
    assert drawing.is_large == is_large
    assert bool(residual(drawing.rows[1])) == is_large


def test_rows_of_the_same_shape_differ_in_nothing_but_names():
    first = draw(residual_blocks(2)).rows[1]
    assert first.shape == draw(residual_blocks(2)).rows[2].shape
    wide = draw(residual_blocks(2, widths=(8, 16))).rows[2]
    assert first.shape != wide.shape


# Networks that others made


@pytest.mark.parametrize(
    ("name", "size_px", "expected"),
    [
        ("alexnet", 96, "classifier.1 classifier.4 classifier.6"),
        ("convnext_tiny", 64, "+(, block.0 block.3 block.5)"),
        ("densenet121", 64, "|(, conv1 conv2)"),
        ("efficientnet_b0", 64, "+(, block.0.0 block.1.0 x(, block.2.fc1 block.2.fc2) block.3.0)"),
        (
            "googlenet",
            64,
            "|(branch1.conv, branch2.0.conv branch2.1.conv, branch3.0.conv branch3.1.conv, "
            "branch4.1.conv)",
        ),
        (
            "inception_v3",
            96,
            "|(branch1x1.conv, branch3x3_1.conv |(branch3x3_2a.conv, branch3x3_2b.conv), "
            "branch3x3dbl_1.conv branch3x3dbl_2.conv |(branch3x3dbl_3a.conv, "
            "branch3x3dbl_3b.conv), branch_pool.conv)",
        ),
        ("mnasnet0_5", 64, "+(, layers.0 layers.3 layers.6)"),
        ("mobilenet_v2", 64, "+(, conv.0.0 conv.1.0 conv.2)"),
        ("mobilenet_v3_small", 64, "block.0.0 x(, block.1.fc1 block.1.fc2) block.2.0"),
        ("regnet_y_400mf", 64, "+(proj.0, f.a.0 f.b.0 x(, f.se.fc1 f.se.fc2) f.c.0)"),
        ("resnet18", 64, "+(conv1 conv2, downsample.0)"),
        ("shufflenet_v2_x0_5", 64, "|(branch1.0 branch1.2, branch2.0 branch2.3 branch2.5)"),
        ("squeezenet1_1", 64, "squeeze |(expand1x1, expand3x3)"),
    ],
)
def test_networks_of_torchvision_are_drawn_as_they_are(name: str, size_px: int, expected: str):
    unused = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = getattr(torchvision.models, name)(weights=None, **unused).eval()
    layers = walk(model, size_px)
    rows = draw(layers).rows
    assert_each_once(layers)
    assert all(row.path is not None for row in rows)
    assert expected in {spelled(row.path, f"{row.name}.") for row in rows}
