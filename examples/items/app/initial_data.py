from sqlmodel import Session

from app.core.db import engine, init_db

if __name__ == "__main__":
    with Session(engine) as session:
        init_db(session)
