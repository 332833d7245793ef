"""Routers as this service has them: JSON is read strictly, problems are declared."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from shop.core.errors import Problem
from shop.core.json_body import JSONRoute

Responses = dict[int | str, dict[str, Any]]

NOT_MODIFIED: Responses = {304: {"description": "If-None-Match names the present ETag; no body."}}


def problems(*statuses: int) -> Responses:
    """What an address declares that may answer these statuses with a problem."""
    return {status: {"model": Problem} for status in statuses}


def operation_id(route: APIRoute) -> str:
    """The name of the function that answers: what a generated client calls its method."""
    return route.name


def api_router(prefix: str, tag: str, *statuses: int) -> APIRouter:
    """A router below `prefix`, each of whose addresses may answer these statuses with a problem."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=JSONRoute,
        responses=problems(*statuses),
        generate_unique_id_function=operation_id,
    )


class BareRoute(APIRoute):
    """A route whose function takes the request and nothing else: FastAPI reads, checks and solves nothing."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler
