"""Users: who may log in."""

from shop.core.domain import Domain
from shop.users import demo, router
from shop.users.errors import CONSTRAINTS
from shop.users.models import User

DOMAIN = Domain(
    name="users",
    about="Who uses the shop.",
    router=router.router,
    models=(User,),
    constraints=CONSTRAINTS,
    queries={
        "user-by-email": """
            SELECT id, hashed_password, role, is_active, token_version
            FROM users WHERE lower(email) = 'nobody@example.net'"""
    },
    start=router.start,
    seed=demo.seed,
)
