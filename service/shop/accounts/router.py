"""`/api/v1/accounts`: who orders."""

import uuid
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from shop.accounts import service
from shop.accounts.schemas import AccountCreate, AccountPage, AccountRead, AccountUpdate
from shop.core.database import resources_of
from shop.core.errors import Problem
from shop.core.etag import conditional, header, require_match, version_tag
from shop.core.json_body import JSONRoute
from shop.core.pagination import DEFAULT_LIMIT, LastId, Limit, following_page, link_headers
from shop.core.principal import CurrentUser

PATH = "/api/v1/accounts"
IfMatch = Annotated[str | None, Header(description="the ETag of the account as it was read")]

router = APIRouter(
    prefix=PATH,
    tags=["accounts"],
    route_class=JSONRoute,
    responses={status: {"model": Problem} for status in (401, 422, 503)},
)


def _answer(account: AccountRead, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    state = {"ETag": version_tag(account.version), "Cache-Control": "private, no-cache"}
    return Response(
        account.model_dump_json(), status, headers={**state, **(headers or {})}, media_type="application/json"
    )


@router.get("", response_model=AccountPage)
async def list_accounts(
    request: Request, principal: CurrentUser, last_id: LastId = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """The accounts you are a member of, newest first; follow `next` or the Link header."""
    items, next_id = await service.list_accounts(
        resources_of(request), principal, last_id=last_id, limit=limit
    )
    following = following_page(PATH, next_id, limit) if next_id else None
    body = AccountPage.model_construct(items=items, next=following).model_dump_json()
    return Response(body, media_type="application/json", headers=link_headers(following))


@router.post("", status_code=201, response_model=AccountRead, responses={409: {"model": Problem}})
async def create_account(request: Request, principal: CurrentUser, account: AccountCreate) -> Response:
    """A new account of yours, active at once."""
    created = await service.create_account(
        resources_of(request), principal, account, request.app.state.currency
    )
    return _answer(created, 201, {"Location": f"{PATH}/{created.id}"})


@router.get(
    "/{account_id}",
    response_model=AccountRead,
    responses={
        304: {"description": "If-None-Match names the present ETag; no body."},
        404: {"model": Problem},
    },
    openapi_extra={"parameters": [header("If-None-Match", "the ETag of the account the client has")]},
)
async def get_account(request: Request, principal: CurrentUser, account_id: uuid.UUID) -> Response:
    """One account you are a member of."""
    account = await service.get_account(resources_of(request), principal, account_id)
    tag = version_tag(account.version)
    return conditional(request, account.model_dump_json(), tag, {"Cache-Control": "private, no-cache"})


@router.patch(
    "/{account_id}",
    response_model=AccountRead,
    responses={status: {"model": Problem} for status in (403, 404, 409, 412)},
)
async def update_account(
    request: Request,
    principal: CurrentUser,
    account_id: uuid.UUID,
    changes: AccountUpdate,
    _: IfMatch = None,
) -> Response:
    """Rename, suspend, resume or close an account you own. With `If-Match` only the version you have read."""
    account = await service.update_account(
        resources_of(request), principal, account_id, changes, partial(require_match, request)
    )
    return _answer(account)
