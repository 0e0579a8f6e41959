"""A small trained network that ships with the project, and how it was trained."""

from pathlib import Path

INPUT_SIZE_PX = 80
WEIGHTS_PATH = Path(__file__).with_name("demo.safetensors")
