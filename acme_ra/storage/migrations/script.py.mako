"""${message}."""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None

DDL = """
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("an audit log is not migrated back; restore a backup")
