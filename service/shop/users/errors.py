"""What a client is told of users, and what users say of their constraints in the database."""

import uuid

from pydantic import ValidationError

from shop.core.errors import AppError, Constraints
from shop.core.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD

CONSTRAINTS: Constraints = {
    "uq_users_email": (409, "email_taken", "This email address belongs to another user."),
}


def user_invalid(error: ValidationError) -> AppError:
    """422 with what is wrong with each value; the values are not repeated."""
    faults = error.errors(include_url=False, include_input=False)
    details = [
        {"location": [str(part) for part in fault["loc"]], "code": fault["type"], "message": fault["msg"]}
        for fault in faults
    ]
    sentence = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in faults)
    return AppError(422, "invalid_user", f"The user cannot be created. {sentence}.", details=details)


def password_of_wrong_length() -> AppError:
    """422: too short to be safe, or too long to be meant."""
    bounds = f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
    return AppError(422, "invalid_user", f"The password needs {bounds}.")


def user_not_found(user_id: uuid.UUID) -> AppError:
    """404, the same for a user who does not exist and for one whom the asking user may not see."""
    return AppError(404, "user_not_found", f"No user with the id {user_id} is known to you.")


def unknown_cursor() -> AppError:
    """422: a page that follows nobody."""
    return AppError(422, "unknown_cursor", "last_id names no user: take it from the next of a page.")
