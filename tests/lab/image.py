"""The image every host boots: a bare system, as a cloud would offer it."""

from pathlib import Path

from tests.lab import cache, mirror, ubuntu
from tests.lab.commands import TREE_DIES_WITH_US, run
from tests.lab.platforms import DEBIAN, Platform

RECIPES = Path(__file__).parent / "image"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Raise it to rebuild the images everywhere though the recipe is the same, for instance to have newer packages.
EDITION = "1"


def packages(platform: Platform) -> list[str]:
    """Return the packages that the image has beyond the essential ones."""
    return (RECIPES / platform.name / "packages.txt").read_text().split()


def architecture() -> str:
    """Return Debian's name for this machine's architecture."""
    return run(["dpkg", "--print-architecture"], purpose="read this machine's architecture").strip()


def name(platform: Platform) -> str:
    """Return the hash of everything the image is made from, save the mirror's contents."""
    recipe = [
        f"{path.relative_to(RECIPES)}\n{path.read_text()}"
        for path in sorted((RECIPES / platform.name).rglob("*"))
        if path.is_file()
    ]
    return cache.key(EDITION, platform.suite, architecture(), *mirror.validity_options(), *recipe)


def ensure(platform: Platform, sources: list[str]) -> Path:
    """Return the image's root folder, built from these apt sources (one-line format) when this machine has none."""
    return cache.built("images", name(platform), lambda folder: build(platform, folder, sources))


def build(platform: Platform, folder: Path, sources: list[str]) -> None:
    """Build the image into an empty folder."""
    options = [f"--aptopt={option}" for option in mirror.validity_options()]
    keyring = KEYRING if platform is DEBIAN else ubuntu.keyring()
    run(
        [
            "mmdebstrap", "--mode=root", "--variant=minbase", f"--keyring={keyring}",
            f"--include={','.join(packages(platform))}", *options, "--dpkgopt=force-unsafe-io",
            '--aptopt=Acquire::Languages "none"',
            f"--customize-hook={RECIPES / platform.name / 'customize.sh'}", platform.suite, folder, *sources,
        ],
        purpose=f"build the image of {platform.about}",
        wrapper=TREE_DIES_WITH_US,
    )  # fmt: skip
    folder.chmod(0o755)
