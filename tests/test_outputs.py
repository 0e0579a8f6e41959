"""The layer whose units are the classes is found behind whatever a network does with its logits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import make_network, randomise
from torch import Tensor, nn

from atlas.network.walk import walk

End = Callable[[Tensor], Tensor]
SIZE_PX = 16
KEEPING_LOGITS: dict[str, End] = {
    "squeeze(1)": lambda x: x.squeeze(1),
    "squeeze()": torch.squeeze,
    "squeeze(-1)": lambda x: x.squeeze(-1),
    "flatten()": lambda x: x.flatten(),
    "view(-1)": lambda x: x.view(-1),
    "[:, 0]": lambda x: x[:, 0],
    "select": lambda x: x.select(1, 0),
    "sum(1)": lambda x: x.sum(1),
    "sigmoid, then squeeze": lambda x: torch.sigmoid(x).squeeze(1),
    "squeeze, then sigmoid": lambda x: torch.sigmoid(x.squeeze()),
    "in a dict": lambda x: {"logits": x.squeeze(1)},
}


class Pooled(nn.Module):
    """A classifier of pooled maps."""

    def __init__(self, end: End, n_classes: int = 1) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, n_classes)
        self.end = end

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self.fc(torch.relu(self.conv(images)).mean((2, 3))))


class ClassMaps(Pooled):
    """Its classifier is a convolution, whose maps are pooled."""

    def __init__(self, end: End, n_classes: int = 1) -> None:
        super().__init__(end)
        self.fc = nn.Conv2d(4, n_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self.fc(torch.relu(self.conv(images))).mean((2, 3), keepdim=True))


class Untraceable(Pooled):
    """Its code asks for numbers."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images if images.sum() < 1e9 else -images)


@pytest.mark.parametrize("make", [Pooled, Untraceable])
@pytest.mark.parametrize("end", KEEPING_LOGITS.values(), ids=KEEPING_LOGITS)
def test_a_single_logit_is_a_class_without_its_dimension_too(make, end):
    layers = walk(make(end).eval(), SIZE_PX)
    assert layers == walk(make(nn.Identity()).eval(), SIZE_PX)
    assert (layers[-1].kind, layers[-1].n_units) == ("classifier", 1)


@pytest.mark.parametrize("n_classes", [1, 3])
@pytest.mark.parametrize("end", [torch.squeeze, torch.flatten, lambda x: x.view(-1)])
def test_classes_of_a_convolution_are_found_without_their_dimensions(end, n_classes):
    layers = walk(ClassMaps(end, n_classes).eval(), SIZE_PX)
    assert layers == walk(ClassMaps(lambda x: x.flatten(1), n_classes).eval(), SIZE_PX)
    assert (layers[-1].kind, layers[-1].n_units) == ("classifier", n_classes)


@pytest.mark.parametrize("make", [Pooled, ClassMaps])
@pytest.mark.parametrize("n_images", [1, 3])
@pytest.mark.parametrize("end", [torch.squeeze, lambda x: 3 - 2 * x.flatten()])
@pytest.mark.parametrize("n_classes", [1, 2])
def test_logits_are_read_as_the_network_gives_them(make, n_images, end, n_classes):
    model = randomise(make(end, n_classes))
    network = make_network(model, SIZE_PX)
    images = torch.rand(n_images, 3, SIZE_PX, SIZE_PX)
    expected = model(images).reshape(n_images, n_classes)
    layer = network.layers[-1]
    torch.testing.assert_close(network.tap(layer)(images)[:, :, 0, 0], expected)
    channels = torch.zeros(n_images, dtype=torch.long)
    own = network.tap(layer, "float32").own_maps(images, channels)
    torch.testing.assert_close(own[:, 0, 0], expected[:, 0])
    ((_, answers),) = network.watch([layer]).sigmas(images * 0.25 + 0.5)
    torch.testing.assert_close(answers[:, :, 0, 0], expected)


def test_a_sigmoid_is_no_part_of_the_logit_that_is_read():
    model = randomise(Pooled(lambda x: torch.sigmoid(x)[:, 0]))
    network = make_network(model, SIZE_PX)
    images = torch.rand(2, 3, SIZE_PX, SIZE_PX)
    logits = network.tap(network.layers[-1])(images).flatten()
    torch.testing.assert_close(torch.sigmoid(logits), model(images))


OTHERS: dict[str, tuple[int, End]] = {
    "one of two logits": (2, lambda x: x[:, 0]),
    "a sum of logits": (2, lambda x: x.sum(1)),
    "the class itself": (3, lambda x: x.argmax(1)),
    "two numbers made of one": (1, lambda x: torch.cat([-x, x], 1)),
}


@pytest.mark.parametrize(("n_units", "end"), OTHERS.values(), ids=OTHERS)
def test_other_numbers_than_those_of_a_layer_are_no_classes(n_units, end):
    assert walk(Pooled(end, n_units).eval(), SIZE_PX)[-1].kind == "hidden"


def test_a_mean_over_all_images_is_no_class():
    class Averaged(Pooled):
        def forward(self, images: Tensor) -> Tensor:
            return self.end(
                nn.functional.conv2d(self.conv(images), self.fc.weight[..., None, None])
            )

    assert walk(Averaged(lambda x: x.mean((2, 3))).eval(), SIZE_PX)[-1].kind == "classifier"
    assert walk(Averaged(torch.mean).eval(), SIZE_PX)[-1].kind == "conv"


def test_classes_come_before_a_score_that_has_lost_its_dimension():
    class Scored(Pooled):
        def __init__(self) -> None:
            super().__init__(nn.Identity(), 3)
            self.score = nn.Linear(4, 1)

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            features = torch.relu(self.conv(images)).mean((2, 3))
            return self.score(features).squeeze(1), self.fc(features)

    assert walk(Scored().eval(), SIZE_PX)[-1].name == "fc"
