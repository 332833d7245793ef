"""Made-up users, who all have the same password."""

from datetime import timedelta

from shop.core.demo import DAYS, Demo

MAIL = "demo.example"
FIRST_NAMES = (
    "Ada",
    "Bela",
    "Chiara",
    "Daan",
    "Elif",
    "Finn",
    "Greta",
    "Hana",
    "Ivan",
    "Jun",
    "Kofi",
    "Lena",
)
LAST_NAMES = (
    *("Abe", "Berg", "Costa", "Diaz", "Evans", "Fischer"),
    *("Garcia", "Horvat", "Ito", "Jansen", "Kaya", "Lund"),
)


def seed(demo: Demo) -> None:
    """Users who came in the first half of the time."""
    for number in range(1, demo.people + 1):
        first, last = demo.chance.choice(FIRST_NAMES), demo.chance.choice(LAST_NAMES)
        created = demo.begin + timedelta(minutes=demo.chance.randrange(DAYS * 24 * 60 // 2))
        demo.table("users").append(
            {
                "id": demo.id_at(created),
                "email": f"{first}.{last}.{number}@{MAIL}".lower(),
                "hashed_password": demo.hashed,
                "name": f"{first} {last}",
                "plan": demo.chance.choice(("free", "free", "pro")),
                "created_at": created,
                "updated_at": created,
            }
        )
