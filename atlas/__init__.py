"""The atlas of a convolutional network: what each unit is, and what it wants to see."""

__version__ = "0.1.0"
