"""Jobs and digests"""

import sqlalchemy as sa
from alembic import op

revision = "9f02b7c41e63"
down_revision = "5d1c8e70a2b4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("note", sa.Column("words", sa.Integer(), nullable=True))
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("note_id", sa.Integer(), sa.ForeignKey("note.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_job_done_at", "job", ["done_at"])
    op.create_table(
        "digest",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("notes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("digest")
    op.drop_table("job")
    op.drop_column("note", "words")
