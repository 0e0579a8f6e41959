"""Make the table of synsets and WordNet's licence anew: python -m atlas.wordnet.table FOLDER.

FOLDER holds the file `data.noun` of WordNet 3.0, such as /usr/share/wordnet of Debian's package
wordnet-base. The format of the file: https://wordnet.princeton.edu/documentation/wndb5wn
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from atlas.families.imagenet import IDS_PATH
from atlas.wordnet import LICENSE_PATH, TABLE_PATH, Synset, Synsets, above

IS_KIND_OF = ("@", "@i")  # pointers to hypernyms, and from an instance to its hypernyms
LICENCE_LINE = re.compile(r" +\d+ ?(.*?) *")  # numbered lines at the beginning of the file


def read_nouns(text: str) -> Synsets:
    """All synsets in the text of `data.noun`, by id."""
    lines = (line for line in text.splitlines() if not LICENCE_LINE.fullmatch(line))
    return {synset.id: synset for synset in map(_synset, lines)}


def licence(text: str) -> str:
    """The licence at the beginning of the text of `data.noun`."""
    lines = filter(None, map(LICENCE_LINE.fullmatch, text.splitlines()))
    return "".join(f"{line[1]}\n" for line in lines)


def _synset(line: str) -> Synset:
    """`01440764 05 n 02 tench 0 Tinca_tinca 0 002 @ 01439121 n 0000 ... | freshwater ...`."""
    fields = line.partition(" | ")[0].split(" ")
    n_words = int(fields[3], 16)
    words, (n_pointers, *pointers) = fields[4 : 4 + 2 * n_words : 2], fields[4 + 2 * n_words :]
    by_four = zip(*(pointers[nth : 4 * int(n_pointers) : 4] for nth in range(2)), strict=True)
    return Synset(
        f"n{fields[0]}",
        tuple(word.replace("_", " ") for word in words),
        tuple(f"n{offset}" for symbol, offset in by_four if symbol in IS_KIND_OF),
    )


def spelled(synsets: Synsets, ids: set[str]) -> str:
    """The table of some synsets, a line for each."""
    rows = (synsets[synset_id] for synset_id in sorted(ids))
    return "".join(f"{row.id}\t{'|'.join(row.lemmas)}\t{' '.join(row.parents)}\n" for row in rows)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    """Write the table of ImageNet's classes and all above them, from WordNet in FOLDER."""
    text = (folder / "data.noun").read_text(encoding="ascii")
    nouns = read_nouns(text)
    ids = above(IDS_PATH.read_text(encoding="ascii").split(), nouns)
    TABLE_PATH.write_text(spelled(nouns, ids), encoding="utf-8")
    LICENSE_PATH.write_text(licence(text), encoding="utf-8")
    click.echo(f"{len(ids):,} synsets in {TABLE_PATH}")


if __name__ == "__main__":
    main()
