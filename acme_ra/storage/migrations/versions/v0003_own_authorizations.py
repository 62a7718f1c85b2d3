"""Authorizations that an account made by newAuthz are counted, so that there is a limit to them."""

from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None

DDL = """
CREATE INDEX authorizations_own ON authorizations (account_id)
    WHERE order_id IS NULL AND status IN ('pending', 'valid')
"""


def upgrade() -> None:
    op.execute(DDL)


def downgrade() -> None:
    raise NotImplementedError("an audit log is not migrated back; restore a backup")
