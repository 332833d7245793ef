"""Products: what the shop sells."""

from shop.core.domain import Domain
from shop.products import demo
from shop.products.errors import CONSTRAINTS
from shop.products.models import Product, StockChange
from shop.products.router import router

_PRODUCT = (
    "SELECT id, sku, name, category, price, stock, is_active, version, created_at, updated_at FROM products"
)

DOMAIN = Domain(
    name="products",
    about="What is for sale, and how many pieces are left.",
    router=router,
    models=(Product, StockChange),
    constraints=CONSTRAINTS,
    queries={
        "product-by-id": f"{_PRODUCT} WHERE id = '00000000-0000-7000-8000-000000000000' AND is_active",
        "products-page": f"""{_PRODUCT}
            WHERE is_active AND id < 'ffffffff-ffff-ffff-ffff-ffffffffffff' ORDER BY id DESC LIMIT 51""",
        "stock-log": """
            SELECT id, product_id, order_id, change_amount, balance_after, reason, actor_id, created_at
            FROM stock_log WHERE product_id = '00000000-0000-7000-8000-000000000000'
            ORDER BY id DESC LIMIT 51""",
    },
    seed=demo.seed,
)
