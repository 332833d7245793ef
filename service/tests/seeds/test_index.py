"""The index of this folder, README.md, and the tests it lists say the same."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
# Database, service, cache, observability, security: the groups of the inventory that are the service's.
ITEMS = range(10, 91)
ORDINALS = {"first": "S0", "second": "S1", "third": "S2", "fourth": "S3", "fifth": "S4"}
NUMBERS = r"\d+(?:(?:, | and |_and_)\d+)*"


def listed_tests() -> Iterator[tuple[str, str, str]]:
    """File, name and sentence of every test of the folder."""
    for path in sorted(FOLDER.glob("test_*_seeds.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield path.name, node.name, ast.get_docstring(node) or ""


def items_of(name: str, sentence: str) -> set[int]:
    """The items that a test names: "item 59" in its sentence, `item_59` or `test_59_` in its name."""
    found = re.findall(rf"\bitems? ({NUMBERS})", sentence)
    found += re.findall(rf"(?:^|_)item_({NUMBERS})", name) + re.findall(r"^test_(\d+)_", name)
    return {int(number) for text in found for number in re.findall(r"\d+", text)}


def articles_of(name: str, sentence: str) -> set[str]:
    """The articles that a test names: "S1" or "second article"."""
    found = set(re.findall(r"\bS[0-4]\b", sentence)) | {
        code.upper() for code in re.findall(r"(?:^|_)(s[0-4])(?=_)", name)
    }
    text = sentence.lower()
    for ordinals in re.findall(r"((?:\w+(?:,| and)? )+)articles?\b", text):
        found |= {ORDINALS[word] for word in re.findall(r"\w+", ordinals) if word in ORDINALS}
    return found


def rows() -> dict[int, str]:
    """What the index says of each item: the files with its tests, or why there is none."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    return {int(item): shown for item, shown in re.findall(r"(?m)^\| (\d+) \|[^|]*\| ([^|]*?) \|$", text)}


def test_every_test_names_an_article_and_an_item() -> None:
    nameless = [
        (file, name)
        for file, name, sentence in listed_tests()
        if not items_of(name, sentence) or not articles_of(name, sentence)
    ]
    assert nameless == []


def test_the_index_lists_every_item_with_the_tests_that_show_it() -> None:
    shown = defaultdict(set)
    for file, name, sentence in listed_tests():
        for item in items_of(name, sentence):
            shown[item].add(file.removeprefix("test_").removesuffix("_seeds.py"))
    listed = rows()
    assert sorted(listed) == sorted({*ITEMS, *shown})
    differing = {
        item: (text, sorted(shown[item]))
        for item, text in listed.items()
        if shown[item] and text != ", ".join(sorted(shown[item]))
    }
    assert differing == {}


def test_an_item_without_a_test_has_a_reason() -> None:
    named = {item for _, name, sentence in listed_tests() for item in items_of(name, sentence)}
    for item, text in rows().items():
        if item not in named:
            assert len(text.split()) > 4 and text.endswith("."), f"item {item}: why is there no test of it?"
