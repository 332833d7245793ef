from sqlmodel import Session, create_engine, select

from app import crud
from app.core.config import settings
from app.models import User, UserCreate

engine = create_engine(str(settings.SQLALCHEMY_DATABASE_URI))


def init_db(session: Session) -> None:
    """The first account, which may see everybody's; the tables are Alembic's."""
    if session.exec(select(User).where(User.email == settings.FIRST_SUPERUSER)).first() is None:
        first = UserCreate(email=settings.FIRST_SUPERUSER, password=settings.FIRST_SUPERUSER_PASSWORD)
        crud.create_user(session, first, is_superuser=True)
