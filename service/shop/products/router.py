"""`/api/v1/products`: what is for sale, and what admins do about it."""

import uuid
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from shop.core.cache import cache_of
from shop.core.database import resources_of
from shop.core.errors import AppError
from shop.core.etag import IfMatch, content_tag, header, is_unchanged, not_modified, version_tag
from shop.core.pagination import DEFAULT_LIMIT, LastId, LastNumber, Limit, following_page, link_headers
from shop.core.principal import AdminUser, require_admin
from shop.core.reads import dump_json
from shop.core.routing import NOT_MODIFIED, api_router, problems
from shop.products import service
from shop.products.schemas import (
    PRINTABLE,
    CategoryList,
    ProductCreate,
    ProductPage,
    ProductRead,
    ProductUpdate,
    StockChangeCreate,
    StockLogPage,
)

PATH = "/api/v1/products"
# Anybody may keep an answer for 5 s, and show it for 30 s more while it fetches a new one.
PUBLIC = {"Cache-Control": "public, max-age=5, stale-while-revalidate=30"}
# What an admin gets is the state of this moment.
PRIVATE = {"Cache-Control": "no-store"}

# Documented here and read by core.etag: as a parameter of the functions FastAPI would spend time on it.
IF_NONE_MATCH = {"parameters": [header("If-None-Match", "the ETag of the answer the client has")]}

# Only an id matches, so that no method of a product seems to be one of /categories.
PRODUCT = "/{product_id:uuid}"

router = api_router(PATH, "products", 503)


def _public(request: Request, body: bytes, tag: str, headers: dict[str, str] | None = None) -> Response:
    if is_unchanged(request, tag):
        return not_modified(tag, PUBLIC)
    return Response(body, headers={**PUBLIC, "ETag": tag, **(headers or {})}, media_type="application/json")


def _product(product: service.Product, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        dump_json(dict(product)),
        status,
        headers={**PRIVATE, "ETag": version_tag(product["version"]), **(headers or {})},
        media_type="application/json",
    )


@router.get(
    "", response_model=ProductPage, responses=NOT_MODIFIED | problems(401, 403), openapi_extra=IF_NONE_MATCH
)
async def list_products(
    request: Request,
    category: Annotated[str | None, Query(max_length=64, pattern=PRINTABLE)] = None,
    last_id: LastId = None,
    limit: Limit = DEFAULT_LIMIT,
    is_active: Annotated[bool, Query(description="false: what is switched off, for admins")] = True,
) -> Response:
    """Products for sale, newest first, a page at a time; follow `next` or the Link header."""
    if not is_active:
        await require_admin(request)
    items, more = await service.list_products(
        resources_of(request).reads, category=category, last_id=last_id, limit=limit, is_active=is_active
    )
    filters = {"category": category, "is_active": None if is_active else "false"}
    following = following_page(PATH, items[-1]["id"], limit, **filters) if more else None
    body = dump_json({"items": [dict(item) for item in items], "next": following})
    if not is_active:
        headers = {**PRIVATE, **link_headers(following)}
        return Response(body, headers=headers, media_type="application/json")
    return _public(request, body, content_tag(body), link_headers(following))


@router.get("/categories", response_model=CategoryList, responses=NOT_MODIFIED, openapi_extra=IF_NONE_MATCH)
async def list_categories(request: Request) -> Response:
    """Every category with a product for sale, by name, and how many of its products are in stock."""
    items = await service.list_categories(cache_of(request), resources_of(request).reads)
    body = CategoryList.model_construct(items=items).model_dump_json().encode()
    return _public(request, body, content_tag(body))


async def _off_sale(request: Request, product_id: uuid.UUID) -> service.Product | None:
    """What only an admin may see. Whoever else asks, with whatever proof, is not told that it is there."""
    if "authorization" not in request.headers:
        return None
    try:
        await require_admin(request)
    except AppError as refused:
        if refused.status in (401, 403):
            return None
        raise
    return await service.find_off_sale(resources_of(request).reads, product_id)


@router.get(
    PRODUCT,
    response_model=ProductRead,
    responses=NOT_MODIFIED | problems(404),
    openapi_extra=IF_NONE_MATCH,
)
async def get_product(request: Request, product_id: uuid.UUID) -> Response:
    """One product for sale; for an admin also one that is switched off."""
    try:
        product = await service.get_product(resources_of(request).reads, product_id)
    except AppError as error:
        off_sale = await _off_sale(request, product_id) if error.status == 404 else None
        if off_sale is None:
            raise
        return _product(off_sale)
    tag = version_tag(product["version"])
    if is_unchanged(request, tag):
        return not_modified(tag, PUBLIC)
    return Response(dump_json(dict(product)), headers={**PUBLIC, "ETag": tag}, media_type="application/json")


@router.post("", status_code=201, response_model=ProductRead, responses=problems(401, 403, 409))
async def create_product(request: Request, admin: AdminUser, body: ProductCreate) -> Response:
    """Add a product, for admins."""
    product = await service.create_product(
        resources_of(request).writes, cache_of(request), body.model_dump(), admin.user_id
    )
    return _product(product, 201, {"Location": f"{PATH}/{product['id']}"})


@router.patch(
    PRODUCT,
    response_model=ProductRead,
    responses=problems(401, 403, 404, 409, 412),
)
async def update_product(
    request: Request, admin: AdminUser, product_id: uuid.UUID, changes: ProductUpdate, if_match: IfMatch
) -> Response:
    """Change a product, for admins; with If-Match only if nothing changed meanwhile, its stock included."""
    product = await service.update_product(
        resources_of(request).writes,
        cache_of(request),
        product_id,
        changes.values,
        if_match,
    )
    return _product(product)


@router.post("/{product_id}/stock", response_model=ProductRead, responses=problems(401, 403, 404, 409))
async def change_stock(
    request: Request, admin: AdminUser, product_id: uuid.UUID, body: StockChangeCreate
) -> Response:
    """Change the stock of a product by an amount, for admins. It never falls below 0."""
    product = await service.change_stock(
        resources_of(request).writes,
        cache_of(request),
        product_id,
        change_amount=body.change_amount,
        reason=body.reason,
        actor_id=admin.user_id,
    )
    return _product(product)


@router.get("/{product_id}/stock-log", response_model=StockLogPage, responses=problems(401, 403, 404))
async def list_stock_changes(
    request: Request,
    admin: AdminUser,
    product_id: uuid.UUID,
    last_id: LastNumber = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Every change of a product's stock, newest first, a page at a time, for admins."""
    items, more = await service.list_stock_changes(
        resources_of(request).reads, product_id, last_id=last_id, limit=limit
    )
    following = following_page(f"{PATH}/{product_id}/stock-log", items[-1].id, limit) if more else None
    body = StockLogPage.model_construct(items=list(items), next=following).model_dump_json()
    headers = {**PRIVATE, **link_headers(following)}
    return Response(body, media_type="application/json", headers=headers)


@router.post("/{product_id}/clear-cache", status_code=204, responses=problems(401, 403, 404))
async def clear_cache(request: Request, admin: AdminUser, product_id: uuid.UUID) -> Response:
    """Forget what the cache keeps of this product, for admins; it is read from the database again."""
    await service.clear_cache(resources_of(request).reads, cache_of(request), product_id)
    return Response(status_code=204)
