"""Which packages the wheel has. The rest of what it is stands in pyproject.toml, which cannot say this."""

from setuptools import find_namespace_packages, setup

# migrations/ lives beside the package and is installed inside it, so that a wheel alone can migrate.
setup(
    packages=[
        *find_namespace_packages(include=["shop", "shop.*"]),
        *(f"shop.{package}" for package in find_namespace_packages(include=["migrations", "migrations.*"])),
    ],
    package_dir={"shop": "shop", "shop.migrations": "migrations"},
)
