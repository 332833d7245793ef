"""`/api/v1/products`: what is for sale."""

import uuid
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from shop.core.cache import cache_of
from shop.core.database import resources_of
from shop.core.errors import Problem
from shop.core.json_body import JSONRoute
from shop.core.reads import dump_json
from shop.products import service
from shop.products.schemas import CategoryList, ProductPage, ProductRead

PATH = "/api/v1/products"
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"

router = APIRouter(prefix=PATH, tags=["products"], route_class=JSONRoute, responses={503: {"model": Problem}})


@router.get("", response_model=ProductPage)
async def list_products(
    request: Request,
    category: Annotated[str | None, Query(max_length=64, pattern=PRINTABLE)] = None,
    last_id: Annotated[uuid.UUID | None, Query(description="continue after this product")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Response:
    """Products for sale, newest first, a page at a time; follow `next` or the Link header."""
    items, next_id = await service.list_products(
        resources_of(request).reads, category=category, last_id=last_id, limit=limit
    )
    following = None
    headers = {}
    if next_id is not None:
        query = {"last_id": str(next_id), "limit": limit} | ({"category": category} if category else {})
        following = f"{PATH}?{urlencode(query)}"
        headers["Link"] = f'<{following}>; rel="next"'
    body = dump_json({"items": [dict(item) for item in items], "next": following})
    return Response(body, media_type="application/json", headers=headers)


@router.get("/categories", response_model=CategoryList)
async def list_categories(request: Request) -> Response:
    """Every category with a product for sale, by name, and how much of it is in stock."""
    items = await service.list_categories(cache_of(request), resources_of(request).reads)
    body = CategoryList.model_construct(items=items).model_dump_json()
    return Response(body, media_type="application/json")


@router.get("/{product_id}", response_model=ProductRead, responses={404: {"model": Problem}})
async def get_product(request: Request, product_id: uuid.UUID) -> Response:
    """One product for sale."""
    product = await service.get_product(resources_of(request).reads, product_id)
    return Response(dump_json(dict(product)), media_type="application/json")
