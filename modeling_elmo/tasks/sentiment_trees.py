"""Trees in brackets with a class at every phrase, as in the Stanford Sentiment Treebank (Socher et al., 2013)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..text_files import FormatError, numbered_lines

_TOKEN = re.compile(r"\(|\)|[^() ]+")  # a word may hold a no-break space
# How the Penn Treebank writes what has a meaning in it.
_ESCAPED = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}


@dataclass
class Tree:
    """A phrase: its class, and either one word or the phrases that it is made of."""

    label: str
    word: str | None = None
    children: list["Tree"] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        if self.word is not None:
            return [self.word]
        return [word for child in self.children for word in child.words]

    def phrases(self) -> Iterator["Tree"]:
        """This tree and all within it."""
        yield self
        for child in self.children:
            yield from child.phrases()


def read_trees(path: str | Path) -> list[Tree]:
    """Trees, one a line: `(3 (2 It) (4 (2 's) (4 lovely)))`.

    Raises:
        FormatError: naming file and line, where a line is not one whole tree.
    """
    return [parse_tree(line, f"{path}:{number}") for number, line in numbered_lines(path) if line.strip()]


def parse_tree(text: str, where: str = "tree") -> Tree:
    """The tree that a line holds; `where` begins an error's message."""
    root, open_trees = None, []
    tokens = iter(_TOKEN.findall(text))
    for token in tokens:
        if root is not None:
            raise FormatError(f"{where}: something stands after the tree's end: {token!r}")
        if token == "(":
            label = next(tokens, ")")
            if label in "()":
                raise FormatError(f"{where}: a bracket without a label")
            open_trees.append(Tree(label))
        elif not open_trees:
            raise FormatError(f"{where}: {token!r} stands outside of brackets")
        elif token == ")":
            tree = open_trees.pop()
            if tree.word is None and not tree.children:
                raise FormatError(f"{where}: a phrase without words")
            if open_trees:
                if open_trees[-1].word is not None:
                    raise FormatError(f"{where}: a phrase stands beside the word {open_trees[-1].word!r}")
                open_trees[-1].children.append(tree)
            else:
                root = tree
        elif open_trees[-1].word is not None or open_trees[-1].children:
            raise FormatError(f"{where}: the word {token!r} has no bracket of its own")
        else:
            open_trees[-1].word = _ESCAPED.get(token, token).replace("\\/", "/").replace("\\*", "*")
    if root is None:
        raise FormatError(f"{where}: the tree has no end")
    return root
