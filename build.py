#!/usr/bin/env python3
"""Build the atlas of a convolutional network: `python build.py --help`."""

from atlas.command import main

if __name__ == "__main__":
    main()
