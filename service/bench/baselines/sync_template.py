"""The design of a popular full-stack template: synchronous SQLAlchemy ORM on psycopg, a session dependency,
endpoints in FastAPI's thread pool, `response_model`, the pool's default of 5 connections and 10 more.

At its best: no middleware and no log, an object is asked for by its primary key.
"""

import os
import uuid
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, HTTPException, Query, Response
from pydantic import BaseModel
from sqlalchemy import URL, Numeric, String, Text, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

PATH = "/api/v1/products"
LARGEST_ID = uuid.UUID(int=2**128 - 1)


class Base(DeclarativeBase):
    """The declarative base."""


class Product(Base):
    """The row."""

    __tablename__ = "products"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    category: Mapped[str] = mapped_column(String(64))
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    stock: Mapped[int]
    is_active: Mapped[bool]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ProductRead(BaseModel):
    """The answer."""

    id: uuid.UUID
    sku: str
    name: str
    category: str
    price: Decimal
    stock: int
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class ProductPage(BaseModel):
    """A page of answers."""

    items: list[ProductRead]
    next: str | None


def application() -> FastAPI:
    """The factory uvicorn is given; the database comes from the environment, as the service's does."""
    engine = create_engine(
        URL.create(
            "postgresql+psycopg",
            username="shop",
            password=os.environ["BENCH_PASSWORD"],
            database=os.environ["SHOP_DATABASE_NAME"],
            query={"host": os.environ["SHOP_DATABASE_HOST"], "port": os.environ["SHOP_DATABASE_PORT"]},
        ),
        connect_args={"options": "-c search_path=shop -c timezone=UTC -c jit=off"},
    )
    app = FastAPI(openapi_url=None)

    def session_of_request() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    DatabaseSession = Annotated[Session, Depends(session_of_request)]

    @app.get("/health/live")
    def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get(PATH, response_model=ProductPage)
    def list_products(
        session: DatabaseSession,
        response: Response,
        last_id: uuid.UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
    ) -> object:
        page = select(Product).where(Product.is_active, Product.id < (last_id or LARGEST_ID))
        rows = session.scalars(page.order_by(Product.id.desc()).limit(limit + 1)).all()
        following = None
        if len(rows) > limit:
            following = f"{PATH}?{urlencode({'last_id': str(rows[limit - 1].id), 'limit': limit})}"
            response.headers["Link"] = f'<{following}>; rel="next"'
        return {"items": rows[:limit], "next": following}

    @app.get(PATH + "/{product_id}", response_model=ProductRead)
    def get_product(session: DatabaseSession, product_id: uuid.UUID) -> object:
        product = session.get(Product, product_id)
        if product is None or not product.is_active:
            raise HTTPException(404)
        return product

    return app
