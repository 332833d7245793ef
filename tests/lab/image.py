"""The image every host boots: a bare Debian, as a cloud would offer it."""

from pathlib import Path

from tests.lab import cache, mirror
from tests.lab.commands import TREE_DIES_WITH_US, run

RECIPE = Path(__file__).parent / "image"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Raise it to rebuild the image everywhere though the recipe is the same, for instance to have newer packages.
EDITION = "1"


def packages() -> list[str]:
    """Return the packages that the image has beyond the essential ones."""
    return (RECIPE / "packages.txt").read_text().split()


def architecture() -> str:
    """Return Debian's name for this machine's architecture."""
    return run(["dpkg", "--print-architecture"], purpose="read this machine's architecture").strip()


def name() -> str:
    """Return the hash of everything the image is made from, save the mirror's contents."""
    recipe = [path.read_text() for path in sorted(RECIPE.iterdir())]
    return cache.key(EDITION, mirror.SUITE, architecture(), *mirror.validity_options(), *recipe)


def ensure(sources: list[str]) -> Path:
    """Return the image's root folder, built from these apt sources (one-line format) when this machine has none."""
    return cache.built("images", name(), lambda folder: build(folder, sources))


def build(folder: Path, sources: list[str]) -> None:
    """Build the image into an empty folder."""
    options = [f"--aptopt={option}" for option in mirror.validity_options()]
    run(
        [
            "mmdebstrap", "--mode=root", "--variant=minbase", f"--keyring={KEYRING}",
            f"--include={','.join(packages())}", *options,
            f"--customize-hook={RECIPE / 'customize.sh'}", mirror.SUITE, folder, *sources,
        ],
        purpose=f"build the image of Debian {mirror.SUITE}",
        wrapper=TREE_DIES_WITH_US,
    )  # fmt: skip
    folder.chmod(0o755)
