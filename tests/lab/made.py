"""The commands that make or unpack something for tests, and print where it is."""

import argparse

from tests.lab import archive, compose, mirror, postgresql, redis
from tests.lab.lab import Lab


def build_image(arguments: argparse.Namespace) -> int:
    """Build the image."""
    folder = Lab(arguments.inventory).image()
    print(f"image: {folder.name} {folder}")
    return 0


def packages(arguments: argparse.Namespace) -> int:
    """Build the archive, or unpack a later version."""
    version = arguments.version
    if arguments.source:
        print(archive.source())
        return 0
    programs = archive.ensure().programs if version == archive.VERSION else postgresql.programs(version)
    print(programs if arguments.bin else f"postgresql-{arguments.version}: {programs}")
    return 0


def redis_server(_arguments: argparse.Namespace) -> int:
    """Unpack Debian's Redis."""
    print(redis.program())
    return 0


def compose_program(_arguments: argparse.Namespace) -> int:
    """Unpack Debian 13's docker-compose."""
    print(compose.program())
    return 0


def sources(_arguments: argparse.Namespace) -> int:
    """Print the sources of Debian."""
    print("\n".join(mirror.sources()))
    return 0
