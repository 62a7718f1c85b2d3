"""Orders that wait for the approval of people."""

from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None

DDL = """
CREATE TABLE approvals (
    order_id INTEGER NOT NULL,
    policy TEXT NOT NULL,
    approvers TEXT NOT NULL,
    status TEXT NOT NULL,
    asked_at INTEGER,
    expires_at INTEGER,
    decided_at INTEGER,
    decided_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    told_at INTEGER,
    seal BLOB,
    PRIMARY KEY (order_id, policy)
) WITHOUT ROWID, STRICT;

CREATE INDEX approvals_due ON approvals (expires_at) WHERE status = 'waiting';

CREATE INDEX approvals_waiting ON approvals (order_id) WHERE status = 'waiting'
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("an audit log is not migrated back; restore a backup")
