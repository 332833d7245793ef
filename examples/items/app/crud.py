from sqlmodel import Session, select

from app.core.security import get_password_hash, verify_password
from app.models import User, UserCreate


def create_user(session: Session, user_in: UserCreate, is_superuser: bool = False) -> User:
    hashed = get_password_hash(user_in.password)
    user = User.model_validate(user_in, update={"hashed_password": hashed, "is_superuser": is_superuser})
    session.add(user)
    session.commit()
    session.refresh(user)
    return user


def get_user_by_email(session: Session, email: str) -> User | None:
    return session.exec(select(User).where(User.email == email)).first()


def authenticate(session: Session, email: str, password: str) -> User | None:
    user = get_user_by_email(session, email)
    return user if user and verify_password(password, user.hashed_password) else None
