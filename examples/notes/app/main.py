from fastapi import FastAPI

from app.api import health, live, notes
from app.core.config import settings

app = FastAPI(title=settings.project_name)
for router in (health.router, notes.router, live.router):
    app.include_router(router, prefix="/api")
