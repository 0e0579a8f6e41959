"""What the fields of the data files mean, as far as the types that fill them do not say it."""

from __future__ import annotations

from collections.abc import Mapping

Words = Mapping[str, str]

SCHEMA = "version of the schema; a new one where the meaning of a field changes"

NETWORK: Words = {
    "name": "name of the network",
    "weights": "name of the weights, or of the file that they came in",
    "sha256": "SHA-256 of the weights file, in hexadecimal digits",
    "labels_source": "where the names of the classes come from",
    "preprocessing_source": "where it was read how images are prepared; empty where it comes with "
    "published weights",
}
PREPROCESSING: Words = {
    "input_size_px": "side of the square that the network is given, in pixels",
    "resize_px": "length of an image's short side before the middle is cut out, in pixels",
    "mean": "by channel (red, green, blue), subtracted from values between 0 and 1",
    "std": "by channel, divided by after that",
    "interpolation": "how images are resized",
}
RECIPE: Words = {
    "name": "name of the recipe of the pictures",
    "preset": "how many steps the pictures were given",
    "seed": "number from which the noise at the beginning is drawn",
}
COUNTS = "numbers of layers, units, pages and dead units, and of artifacts by kind"

LAYER: Words = {
    "name": "name in the network's code",
    "index": "position in the order in which the network uses its layers, from 0",
    "kind": "a convolution, a linear layer at every position of a map, a hidden linear layer, or "
    "the classifier",
    "n_units": "number of units: channels, hidden units or classes",
    "in_channels": "number of channels that it reads",
    "kernel": "height and width of the kernel",
    "stride": "positions that the kernel moves at a time, down and across",
    "padding": "rows and columns that are added around what it reads",
    "dilation": "distance between the positions that the kernel reads, down and across",
    "groups": "number of groups of channels that are read apart from each other",
    "stage": "part of the network that it belongs to",
    "block": "block that it belongs to, null outside a block",
    "batch_norm": "name of the BatchNorm that follows it, null if none with statistics does",
    "writers": "layers whose channels it reads one to one: a single one, or several that are "
    "summed or side by side",
    "output_px": "height and width of its map",
    "receptive_field_px": "side of the square of the image that one position sees, in pixels",
    "field_centre_px": "where the middle of that square is for position 0; pixel 0 is at 0",
    "total_stride_px": "pixels of the image between neighbouring positions",
    "macs": "multiplications with an addition each, from the image to this layer",
    "takes_one_size": "whether it can only be computed for images of the network's input size",
    "smallest_px": "side of the smallest images that it can be computed for, in pixels",
    "inputs": "layers before it with no layer between; empty where it reads the image",
    "merge": "how its inputs are joined; empty where there is nothing to join",
    "gates": "layers whose output multiplies what it reads",
    "is_traced": "whether it is known what it reads and how much of the image it sees",
    "n_calls": "how often it is used for one image; the first time is described",
    "page": "path of its page",
    "units": "path of the layer's units.json",
    "n_pages": "number of its units that have a page",
    "recipe": "complete recipe of the excitatory pictures, null where there are none",
}
UNIT: Words = {
    "id": "name of the layer, a colon and the index",
    "index": "position among the layer's units, from 0",
    "page": "path of the unit's page, null if there is none",
    "pictures": "pictures of the unit, by kind; those that were not made are missing",
    "numbers": "what was measured of the unit, by kind; what was not measured is missing",
    "name": "what the unit is called, and by whom; null if it has no name",
    "description": "what was measured, put into words by rules",
    "label": "name of the class; only of units of the classifier",
}
NAME: Words = {
    "text": "the name",
    "by": "who gave it",
}
PICTURE: Words = {
    "path": "path of the picture",
    "size_px": "its width and height, in pixels",
}
SPRITE: Words = {
    "sheet": "path of the sheet that it is on",
    "cell": "its place on the sheet in reading order, from 0",
    "columns": "number of cells in a row of the sheet",
    "rows": "number of rows",
    "cell_px": "width and height of a cell, in pixels",
    "size_px": "width and height of the picture, which is in the upper left of its cell, in pixels",
}
ON_DEMAND: Words = {
    "page": "path of the page",
    "picture": "path of the picture",
}
LAYERS = "the layers, in the order in which the network uses them"
UNITS = "the layer's units, in order, whether they are rendered or not"
OF_LAYER = "name of the layer"
THUMBNAIL = "the excitatory picture, small"
LAYER_NUMBERS = "what was measured of the picture"
AXES = "by kind, lists that numbers of units point into or are measured along"
