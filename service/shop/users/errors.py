"""What users say of their constraints in the database."""

from shop.core.errors import Constraints

CONSTRAINTS: Constraints = {
    "uq_users_email": (409, "email_taken", "This email address belongs to another user."),
}
