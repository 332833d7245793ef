"""A made-up account for each made-up user."""

from shop.core.demo import Demo


def seed(demo: Demo) -> None:
    """An account that its owner opened the moment they registered."""
    for user in demo.table("users"):
        times = {"created_at": user["created_at"], "updated_at": user["created_at"]}
        account_id = demo.id_at(user["created_at"])
        name = f"{user['name'].rpartition(' ')[2]} & Co."
        demo.table("accounts").append(
            {"id": account_id, "owner_id": user["id"], "name": name, "currency": demo.currency, **times}
        )
        demo.table("account_members").append(
            {
                "account_id": account_id,
                "user_id": user["id"],
                "role": "owner",
                "created_at": user["created_at"],
            }
        )
