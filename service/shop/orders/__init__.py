"""Orders: what an account bought."""

from shop.core.domain import Domain
from shop.orders import demo
from shop.orders.errors import CONSTRAINTS
from shop.orders.models import Order, OrderItem
from shop.orders.router import router

DOMAIN = Domain(
    name="orders",
    about="What an account buys. An order takes its stock at once, or is refused.",
    router=router,
    models=(Order, OrderItem),
    constraints=CONSTRAINTS,
    queries={
        "account-orders": """
            SELECT a.id, a.owner_id, a.name, a.currency, a.status, a.version, a.created_at, a.updated_at,
                o.id, o.created_by, o.status, o.total, o.currency, o.created_at, o.updated_at
            FROM accounts AS a
            JOIN account_members AS m
                ON m.account_id = a.id AND m.user_id = '00000000-0000-7000-8000-000000000000'
            LEFT JOIN LATERAL (
                SELECT id, created_by, status, total, currency, created_at, updated_at FROM orders
                WHERE account_id = a.id AND id < 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                ORDER BY id DESC LIMIT 51
            ) AS o ON true
            WHERE a.id = '00000000-0000-7000-8000-000000000000'
            ORDER BY o.id DESC"""
    },
    seed=demo.seed,
)
