#!/usr/bin/env python3
"""Build the atlas of a convolutional network: `python build.py --help`."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__" and __spec__:
    # `python -m build` means PyPA's build, which this file hides from Python in a clone.
    here = Path(__file__).resolve().parent
    sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != here]
    runpy.run_module("build", run_name="__main__", alter_sys=True)
else:
    from atlas.command import main

    if __name__ == "__main__":
        main()
