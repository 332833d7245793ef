"""What the lifespan opens, for whoever answers a request: each thing once, found by its type."""

from typing import TypeVar

from starlette.requests import Request

Thing = TypeVar("Thing")


class Container:
    """The things of one worker, each under its class and the classes it is derived from."""

    def __init__(self, *things: object) -> None:
        self._things: dict[type, object] = {}
        for thing in things:
            self.put(thing)

    def put(self, thing: object) -> None:
        """Add a thing; it takes the place of one of the same type."""
        for kind in type(thing).__mro__[:-1]:
            self._things[kind] = thing

    def get(self, kind: type[Thing]) -> Thing:
        """The thing of this type. Raises KeyError when the lifespan has put none."""
        return self._things[kind]  # type: ignore[return-value]  # put() keys each by its types


def container_of(request: Request) -> Container:
    """What is open in the worker that answers `request`."""
    container: Container = request.app.state.container
    return container
