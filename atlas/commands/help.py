"""What `--help` says after the options: networks, kinds and examples."""

from __future__ import annotations

from atlas.commands.program import PROGRAM
from atlas.families import FAMILIES, FINDERS
from atlas.families.family import Finder
from atlas.kinds import KINDS

KIND_TABLE = "\n".join(f"  {kind.name:12} {kind.about}" for kind in KINDS)
MODELS = (*FINDERS[::-1], *FAMILIES)  # the usual way to name a network first
MODEL_TABLE = "\n".join(
    f"  {each.form if isinstance(each, Finder) else each.name:18} {each.about}" for each in MODELS
)
EXAMPLES = [
    *(example for each in MODELS for example in each.examples),
    ("--weights mine.pth --labels names.txt", "your own weights"),
    ("like cat.jpg", "which units does this image drive?"),
    ("caricature cat.jpg", "what do layers keep of it?"),
    ("mix conv1:3 conv1:8", "two units in one picture"),
    ("variants layer4.1.conv2:100", "several facets of one unit"),
    ("compare before.pth after.pth", "which units did fine-tuning change?"),
    ("many networks.txt", "an atlas of each of its lines"),
    ("--shard 2/8 --cache shard-2", "one of eight machines"),
    ("merge shard-*", "what they made, in one cache"),
]
EXAMPLE_TABLE = "\n".join(f"  {PROGRAM} {arguments:42} {does}" for arguments, does in EXAMPLES)
EPILOG = f"""\b
Networks, after --model:
{MODEL_TABLE}

\b
Kinds, in the order of making:
{KIND_TABLE}

\b
Examples:
{EXAMPLE_TABLE}
"""
