"""`/api/v1/accounts`: who orders."""

import uuid

from starlette.requests import Request
from starlette.responses import Response

from shop.accounts import service
from shop.accounts.schemas import AccountCreate, AccountPage, AccountRead, AccountUpdate
from shop.core.container import container_of
from shop.core.etag import IfMatch, fresh, header, stamp
from shop.core.pagination import DEFAULT_LIMIT, LastId, Limit, following_page, linked
from shop.core.principal import CurrentUser
from shop.core.routing import NOT_MODIFIED, api_router, problems
from shop.core.session import Database
from shop.settings import Settings

PATH = "/api/v1/accounts"

router = api_router(PATH, "accounts", 401, 422, 503)


@router.get("")
async def list_accounts(
    response: Response,
    session: Database,
    principal: CurrentUser,
    last_id: LastId = None,
    limit: Limit = DEFAULT_LIMIT,
) -> AccountPage:
    """The accounts you are a member of, newest first; follow `next` or the Link header."""
    items, next_id = await service.list_accounts(session, principal, last_id=last_id, limit=limit)
    following = following_page(PATH, next_id, limit) if next_id else None
    return AccountPage(items=items, next=linked(response, following))


@router.post("", status_code=201, responses=problems(409))
async def create_account(
    request: Request, response: Response, session: Database, principal: CurrentUser, account: AccountCreate
) -> AccountRead:
    """A new account of yours, active at once."""
    currency = container_of(request).get(Settings).currency
    created = await service.create_account(session, principal, account, currency)
    stamp(response, created)
    response.headers["Location"] = f"{PATH}/{created.id}"
    return created


@router.get(
    "/{account_id}",
    response_model=AccountRead,
    responses=NOT_MODIFIED | problems(404),
    openapi_extra={"parameters": [header("If-None-Match", "the ETag of the account the client has")]},
)
async def get_account(
    request: Request, response: Response, session: Database, principal: CurrentUser, account_id: uuid.UUID
) -> AccountRead | Response:
    """One account you are a member of."""
    return fresh(request, response, await service.get_account(session, principal, account_id))


@router.patch("/{account_id}", responses=problems(403, 404, 409, 412))
async def update_account(
    response: Response,
    session: Database,
    principal: CurrentUser,
    account_id: uuid.UUID,
    changes: AccountUpdate,
    if_match: IfMatch,
) -> AccountRead:
    """Rename, suspend, resume or close an account you own. With `If-Match` only the version you have read."""
    account = await service.update_account(session, principal, account_id, changes, if_match)
    stamp(response, account)
    return account
