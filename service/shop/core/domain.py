"""What a domain is to the rest of the service: the one object that its package exports as `DOMAIN`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter

from shop.core.container import Container
from shop.core.database import Base
from shop.core.demo import Demo
from shop.core.errors import Constraints


@dataclass(frozen=True)
class Domain:
    """All that the application, the commands and the migrations ask a domain.

    name: the tag of its addresses, of which `about` says what they are. constraints: what a client is told
    when one of the database's refuses. purged: by table, the SQL condition of the rows that nobody needs any
    more. queries: by name, statements whose plans admins may ask for. start: puts what the domain keeps while
    the service runs into the container. seed: makes its part of a made-up shop.
    """

    name: str
    about: str
    router: APIRouter
    models: Sequence[type[Base]]
    constraints: Constraints = field(default_factory=dict)
    purged: Mapping[str, str] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
    start: Callable[[Container], None] | None = None
    seed: Callable[[Demo], None] | None = None
