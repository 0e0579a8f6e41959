#!/usr/bin/env python3
"""How well networks that had no part in an atlas name its pictures of classes.

    python tests/judge_classes.py SITE --judge efficientnet-lite0 --judge resnet18=WEIGHTS

SITE is a finished site. A judge is a network as `build.py --model` takes it and, after `=`, its
weights; `efficientnet-lite0` is the one of docs/efficientnet-lite0.md. It has to know the same
classes in the same order. It is shown each picture whole, at the size of its own input.

Recipes are chosen by the classes that are 1 modulo 10 (`--classes 1%10`), and what was chosen is
confirmed by those that are 7 modulo 10. Intervals are Wilson's, of 95 %:
https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from atlas.errors import AtlasError
from atlas.library import open_network
from atlas.network.network import Network

LITE0 = "efficientnet-lite0"
LITE0_FACTORY = Path(__file__).parents[1] / "docs" / "examples" / "efficientnet_lite0.py"
NORMAL_QUANTILE = 1.959964  # of 97.5 %
N_FIRST = 5
BATCH_SIZE = 16


@dataclass(frozen=True)
class ClassPicture:
    """The picture of a class, and whether the network that it was made for names it right."""

    index: int
    label: str
    path: Path
    is_named_by_itself: bool


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one picture."""

    index: int
    label: str
    p: float  # probability of the right class
    first: Sequence[int]  # the classes with the highest probabilities, the highest first


def class_pictures(site: Path) -> Sequence[ClassPicture]:
    """The excitatory pictures of a site's classes, by class.

    Raises:
        click.ClickException: the site has none.
    """
    layers = json.loads((site / "manifest.json").read_bytes())["layers"]
    classifiers = [layer for layer in layers if layer["kind"] == "classifier"]
    pictures = [
        ClassPicture(
            index=unit["index"],
            label=unit["label"],
            path=site / unit["pictures"]["excitatory"]["path"],
            is_named_by_itself=unit["numbers"]["excitatory"]["rank"] == 0,
        )
        for layer in classifiers
        for unit in json.loads((site / layer["units"]).read_bytes())["units"]
        if "excitatory" in unit["pictures"]
    ]
    if not pictures:
        raise click.ClickException(f"{site} has no excitatory pictures of classes")
    return pictures


def open_judge(name: str) -> Network:
    """The network that a `--judge` names, with its weights."""
    if name == LITE0:
        return open_network(f"{LITE0_FACTORY}:trained", mean=(0.5,) * 3, std=(0.5,) * 3)
    model, _, weights = name.partition("=")
    return open_network(model, weights)


@torch.inference_mode()
def verdicts(judge: Network, pictures: Sequence[ClassPicture]) -> Sequence[Verdict]:
    """What a judge says of pictures."""
    (classifier,) = (layer for layer in judge.layers if layer.is_classifier)
    tap = judge.tap(classifier)
    made = []
    bar = tqdm(range(0, len(pictures), BATCH_SIZE), desc=judge.facts.name, unit=" batches")
    for first in bar:
        batch = pictures[first : first + BATCH_SIZE]
        images = torch.stack([image_of(each.path, judge.facts.input_size_px) for each in batch])
        logits = tap(tap.normalise(images.to(judge.device))).flatten(1)  # (B, n_classes)
        made += [verdict(each, row) for each, row in zip(batch, logits.softmax(1), strict=True)]
    return made


def image_of(path: Path, size_px: int) -> Tensor:
    """A picture at a judge's size, (3, N, N) in 0..1."""
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((size_px, size_px), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255


def verdict(picture: ClassPicture, probabilities: Tensor) -> Verdict:
    """The verdict of one picture, from the probabilities of all classes, (n_classes,)."""
    n_first = min(N_FIRST, len(probabilities))
    return Verdict(
        index=picture.index,
        label=picture.label,
        p=round(probabilities[picture.index].item(), 4),
        first=tuple(probabilities.topk(n_first).indices.tolist()),
    )


def wilson(n_right: int, n: int) -> tuple[float, float]:
    """The interval of 95 % for a share of which `n_right` of `n` were seen."""
    share, z = n_right / n, NORMAL_QUANTILE
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def share(n_right: int, n: int) -> str:
    """A share and its interval, as "0.89 (0.81 to 0.94)"."""
    low, high = wilson(n_right, n)
    return f"{n_right / n:.3f} ({low:.3f} to {high:.3f})"


def report(name: str, made: Sequence[Verdict], labels: Mapping[int, str]) -> None:
    """Print what a judge said: shares, and every picture that it names wrongly."""
    n, wrong = len(made), [each for each in made if each.first[0] != each.index]
    n_first = sum(each.index in each.first for each in made)
    mean_p = sum(each.p for each in made) / n
    print(f"{name}: top-1 {share(n - len(wrong), n)}, top-5 {share(n_first, n)}, p {mean_p:.3f}")
    for each in wrong:
        said = ", ".join(labels.get(index, str(index)) for index in each.first)
        print(f"  {each.index} {each.label}: p {each.p:.3f}, seen as {said}")


def chosen(pictures: Sequence[ClassPicture], classes: str) -> Sequence[ClassPicture]:
    """The pictures of the classes that are a number modulo another, such as "7%10"."""
    if not classes:
        return pictures
    remainder, _, modulus = classes.partition("%")
    if not (remainder.isdecimal() and modulus.isdecimal() and int(modulus)):
        raise click.BadParameter(f"{classes!r} is not like 7%10", param_hint="--classes")
    return [each for each in pictures if each.index % int(modulus) == int(remainder)]


@click.command(help=__doc__)
@click.argument("site", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--judge", "judges", multiple=True, required=True, metavar="NAME[=WEIGHTS]")
@click.option("--classes", default="", metavar="R%M", help="Only classes that are R modulo M.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all verdicts.")
def main(site: Path, judges: Sequence[str], classes: str, json_path: Path | None) -> None:
    """Judge a site's pictures of classes."""
    pictures = chosen(class_pictures(site), classes)
    if not pictures:
        raise click.ClickException(f"{site} has no pictures of these classes")
    n_own = sum(picture.is_named_by_itself for picture in pictures)
    print(f"{len(pictures)} pictures; the network itself: top-1 {share(n_own, len(pictures))}")
    made = {}
    for name in judges:
        try:
            judge = open_judge(name)
        except AtlasError as error:
            raise click.ClickException(str(error)) from error
        made[name] = verdicts(judge, pictures)
        labels = dict(enumerate(judge.facts.labels)) | {each.index: each.label for each in pictures}
        report(name, made[name], labels)
    if json_path:
        rows = {name: [asdict(each) for each in found] for name, found in made.items()}
        json_path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
