from fastapi import APIRouter

from app.api.routes import items, login, users, utils

api_router = APIRouter()
for route in (login, users, utils, items):
    api_router.include_router(route.router)
