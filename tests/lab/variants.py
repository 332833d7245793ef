"""What a host may come with beyond a cloud's own: pieces of cloud-config in variants/, each by its name."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.lab.errors import LabError

FOLDER = Path(__file__).parent / "variants"


def names() -> list[str]:
    """Return the names of all variants."""
    return sorted(path.stem for path in FOLDER.glob("*.yml"))


def about(name: str) -> str:
    """Return what a variant is, in a sentence."""
    return (FOLDER / f"{name}.yml").read_text().splitlines()[1].removeprefix("# ")


def check(chosen: Iterable[str]) -> None:
    """Raise LabError for a name that is none of a variant."""
    for name in chosen:
        if name not in names():
            raise LabError(f"There is no variant {name!r}, only {', '.join(names())}; nothing was changed.")


def added(config: dict[str, Any], chosen: Iterable[str]) -> dict[str, Any]:
    """Return a cloud-config with these variants: lists have the variants' entries first, the rest is replaced."""
    for name in chosen:
        for key, value in yaml.safe_load((FOLDER / f"{name}.yml").read_text()).items():
            config = {**config, key: [*value, *config.get(key, [])] if isinstance(value, list) else value}
    return config
