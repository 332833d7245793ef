"""The statements of orders, prepared once.

What an order changes, its answer and its idempotency key are one statement, so that they happen together or
not at all. It touches tables of other domains because a second round trip would hold a product's row longer
than the work on it takes.

Locks are taken in one order everywhere: the account (key share), products by id, the idempotency key.
Products are locked FOR NO KEY UPDATE: FOR UPDATE would block the foreign key checks of others.
"""

from typing import Any

from sqlalchemy import CHAR, Integer, LargeBinary, String, TextClause, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

_TYPES: dict[str, TypeEngine[Any]] = {
    "account_id": Uuid(),
    "user_id": Uuid(),
    "order_id": Uuid(),
    "product_id": Uuid(),
    "product_ids": ARRAY(Uuid()),
    "quantity": Integer(),
    "quantities": ARRAY(Integer()),
    "key": String(),
    "request_hash": LargeBinary(),
    "last_id": Uuid(),
    "limit": Integer(),
    "status": String(),
    "currency": CHAR(3),
}


def _prepared(statement: str) -> TextClause:
    """The statement with the types of its parameters, so that PostgreSQL guesses none."""
    clause = text(statement)
    return clause.bindparams(*(bindparam(name, type_=_TYPES[name]) for name in clause.compile().params))


# Named everywhere: a column that a later release adds changes no statement of this one.
_ORDER = "id, account_id, created_by, status, total, currency, created_at, updated_at"


def _order_as_json(items: str) -> str:
    """The answer for the row `o` of orders, with its items from the table or query `items`."""
    return f"""
        jsonb_build_object(
            'id', o.id, 'account_id', o.account_id, 'created_by', o.created_by, 'status', o.status,
            'total', CAST(o.total AS text), 'currency', o.currency,
            'created_at', o.created_at, 'updated_at', o.updated_at,
            'items', (
                SELECT jsonb_agg(
                    jsonb_build_object(
                        'product_id', i.product_id, 'quantity', i.quantity,
                        'unit_price', CAST(i.unit_price AS text)
                    ) ORDER BY i.product_id
                ) FROM {items} AS i WHERE i.order_id = o.id
            )
        )"""  # noqa: S608 - the caller is in this module


# Who asks must be a member. The key share makes a change of the account's status wait, and waits for one.
_CALLER = """
    account AS (
        SELECT a.id, a.status, a.currency
        FROM accounts AS a JOIN account_members AS m ON m.account_id = a.id
        WHERE a.id = :account_id AND m.user_id = :user_id
        FOR KEY SHARE OF a
    ),
    known AS (
        SELECT request_hash, body FROM idempotency_keys WHERE account_id = :account_id AND key = :key
    )"""

# From `sold` (id, quantity, price, stock), which is empty when nothing could be sold, all the rest follows.
_RECORD = f"""
    placed AS (
        INSERT INTO orders (id, account_id, created_by, total, currency, idempotency_key)
        SELECT :order_id, :account_id, :user_id, sum(price * quantity), (SELECT currency FROM account), :key
        FROM sold HAVING count(*) > 0
        RETURNING {_ORDER}
    ),
    listed AS (
        INSERT INTO order_items (order_id, product_id, quantity, unit_price)
        SELECT :order_id, id, quantity, price FROM sold
        RETURNING order_id, product_id, quantity, unit_price
    ),
    logged AS (
        INSERT INTO stock_log (product_id, order_id, change_amount, balance_after, reason, actor_id)
        SELECT id, :order_id, -quantity, stock, 'order', :user_id FROM sold
    ),
    answer AS (SELECT {_order_as_json("listed")} AS body FROM placed AS o),
    kept AS (
        INSERT INTO idempotency_keys (account_id, key, request_hash, status, body)
        SELECT :account_id, :key, :request_hash, 201, body FROM answer WHERE :key IS NOT NULL
    )"""  # noqa: S608

# `changes` are pairs of change_amount and balance_after, as in stock_log.
# The conditional UPDATE decides: whoever waits for the row sees it as it is then, not as it was.
PLACE_ONE = _prepared(
    f"""
WITH {_CALLER},
    sold AS (
        UPDATE products AS p
        SET stock = p.stock - :quantity, version = p.version + 1, updated_at = now()
        FROM account
        WHERE p.id = :product_id AND p.is_active AND p.stock >= :quantity
            AND account.status = 'active' AND account.currency = :currency
            AND NOT EXISTS (SELECT FROM known)
        RETURNING p.id, :quantity AS quantity, p.price, p.stock
    ),
    {_RECORD}
SELECT account.status AS account_status, account.currency AS account_currency,
    known.request_hash, CAST(known.body AS text) AS known_body,
    CAST(answer.body AS text) AS body, (SELECT array_agg(ARRAY[-quantity, stock]) FROM sold) AS changes,
    p.stock, p.is_active
FROM (VALUES (1)) AS always (one)
LEFT JOIN account ON true LEFT JOIN known ON true LEFT JOIN answer ON true
LEFT JOIN products AS p ON p.id = :product_id
"""  # noqa: S608
)

LOCK_SEVERAL = _prepared(
    f"""
WITH {_CALLER},
    locked AS (
        SELECT p.id, p.stock, p.is_active
        FROM products AS p CROSS JOIN account
        WHERE p.id = ANY(:product_ids) AND account.status = 'active' AND account.currency = :currency
            AND NOT EXISTS (SELECT FROM known)
        ORDER BY p.id
        FOR NO KEY UPDATE OF p
    )
SELECT account.status AS account_status, account.currency AS account_currency,
    known.request_hash, CAST(known.body AS text) AS known_body,
    locked.id AS product_id, locked.stock, locked.is_active
FROM (VALUES (1)) AS always (one)
LEFT JOIN account ON true LEFT JOIN known ON true LEFT JOIN locked ON true
"""  # noqa: S608
)

KNOWN_ANSWER = _prepared(
    "SELECT request_hash, CAST(body AS text) AS known_body FROM idempotency_keys "
    "WHERE account_id = :account_id AND key = :key"
)

# After LOCK_SEVERAL found enough of everything.
PLACE_SEVERAL = _prepared(
    f"""
WITH {_CALLER},
    sold AS (
        UPDATE products AS p
        SET stock = p.stock - wanted.quantity, version = p.version + 1, updated_at = now()
        FROM unnest(:product_ids, :quantities) AS wanted (product_id, quantity)
        WHERE p.id = wanted.product_id
        RETURNING p.id, wanted.quantity, p.price, p.stock
    ),
    {_RECORD}
SELECT CAST(body AS text) AS body, (SELECT array_agg(ARRAY[-quantity, stock]) FROM sold) AS changes
FROM answer
"""  # noqa: S608
)

CANCEL = _prepared(
    f"""
WITH cancelled AS (
        UPDATE orders SET status = 'cancelled', updated_at = now()
        WHERE id = :order_id AND account_id = :account_id AND status = 'pending'
        RETURNING {_ORDER}
    ),
    given_back AS (
        SELECT p.id, i.quantity
        FROM cancelled AS c
        JOIN order_items AS i ON i.order_id = c.id
        JOIN products AS p ON p.id = i.product_id
        ORDER BY p.id
        FOR NO KEY UPDATE OF p
    ),
    restored AS (
        UPDATE products AS p
        SET stock = p.stock + given_back.quantity, version = p.version + 1, updated_at = now()
        FROM given_back WHERE p.id = given_back.id
        RETURNING p.id, given_back.quantity, p.stock
    ),
    logged AS (
        INSERT INTO stock_log (product_id, order_id, change_amount, balance_after, reason, actor_id)
        SELECT id, :order_id, quantity, stock, 'cancel', :user_id FROM restored
    ),
    answer AS (SELECT {_order_as_json("order_items")} AS body FROM cancelled AS o)
SELECT CAST(body AS text) AS body, (SELECT array_agg(ARRAY[quantity, stock]) FROM restored) AS changes
FROM answer
"""  # noqa: S608
)

PAY = _prepared(
    f"""
WITH paid AS (
        UPDATE orders SET status = 'paid', updated_at = now()
        WHERE id = :order_id AND account_id = :account_id AND status = 'pending'
        RETURNING {_ORDER}
    )
SELECT CAST({_order_as_json("order_items")} AS text) AS body FROM paid AS o
"""  # noqa: S608
)

STATUS = _prepared("SELECT status FROM orders WHERE id = :order_id AND account_id = :account_id")

ORDER = _prepared(
    f"SELECT CAST({_order_as_json('order_items')} AS text) AS body FROM orders AS o "  # noqa: S608
    "WHERE o.id = :order_id AND o.account_id = :account_id"
)

_PAGE = """
SELECT a.id, a.owner_id, a.name, a.currency, a.status, a.version, a.created_at, a.updated_at,
    o.id AS order_id, o.created_by AS order_created_by, o.status AS order_status, o.total AS order_total,
    o.currency AS order_currency, o.created_at AS order_created_at, o.updated_at AS order_updated_at
FROM accounts AS a
JOIN account_members AS m ON m.account_id = a.id AND m.user_id = :user_id
LEFT JOIN LATERAL (
    SELECT id, created_by, status, total, currency, created_at, updated_at FROM orders
    WHERE account_id = a.id AND id < :last_id{condition} ORDER BY id DESC LIMIT :limit
) AS o ON true
WHERE a.id = :account_id
ORDER BY o.id DESC
"""
# The account and its orders in one round trip. No row: no such account; a row without order: an empty page.
PAGE = _prepared(_PAGE.replace("{condition}", ""))
PAGE_OF_STATUS = _prepared(_PAGE.replace("{condition}", " AND status = :status"))
