"""The first schema. Migrations are literal SQL and never change afterwards; tables.py is what they add up to."""

from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None

DDL = """
CREATE TABLE accounts (
    id INTEGER NOT NULL,
    secret TEXT NOT NULL,
    directory TEXT NOT NULL,
    thumbprint TEXT NOT NULL,
    key_hash INTEGER NOT NULL,
    jwk BLOB NOT NULL,
    status TEXT NOT NULL,
    contacts TEXT NOT NULL,
    credential_id INTEGER,
    eab BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (id)
) STRICT;

CREATE INDEX accounts_key ON accounts (key_hash);

CREATE TABLE audit_blocks (
    block INTEGER NOT NULL,
    min_at INTEGER NOT NULL,
    max_at INTEGER NOT NULL,
    PRIMARY KEY (block)
) STRICT;

CREATE TABLE audit_events (
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    body BLOB NOT NULL,
    directory TEXT NOT NULL,
    account_id INTEGER,
    order_id INTEGER,
    namespace TEXT NOT NULL,
    serial TEXT NOT NULL,
    names TEXT NOT NULL,
    serial_hash INTEGER,
    PRIMARY KEY (seq)
) STRICT;

CREATE INDEX audit_events_order ON audit_events (order_id) WHERE order_id IS NOT NULL;

CREATE INDEX audit_events_serial ON audit_events (serial_hash) WHERE serial_hash IS NOT NULL;

CREATE TABLE audit_marks (
    mark_hash INTEGER NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (mark_hash, block)
) WITHOUT ROWID, STRICT;

CREATE TABLE authorizations (
    id INTEGER NOT NULL,
    secret TEXT NOT NULL,
    account_id INTEGER NOT NULL,
    order_id INTEGER,
    identifier_type TEXT NOT NULL,
    identifier TEXT NOT NULL,
    wildcard INTEGER NOT NULL,
    subdomains INTEGER NOT NULL,
    scope TEXT NOT NULL,
    status TEXT NOT NULL,
    token TEXT NOT NULL,
    challenges TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    due_at INTEGER,
    version INTEGER NOT NULL,
    holder_hash INTEGER NOT NULL,
    sweep_at INTEGER,
    PRIMARY KEY (id)
) STRICT;

CREATE INDEX authorizations_due ON authorizations (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX authorizations_reusable ON authorizations (holder_hash, expires_at)
    WHERE order_id IS NULL AND status = 'valid';

CREATE INDEX authorizations_sweep ON authorizations (sweep_at) WHERE sweep_at IS NOT NULL;

CREATE INDEX authorizations_valid ON authorizations (holder_hash, wildcard, expires_at) WHERE status = 'valid';

CREATE TABLE blocked_keys (
    fingerprint TEXT NOT NULL,
    blocked_at INTEGER NOT NULL,
    PRIMARY KEY (fingerprint)
) WITHOUT ROWID, STRICT;

CREATE TABLE certificates (
    id INTEGER NOT NULL,
    secret TEXT NOT NULL,
    order_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    authority TEXT NOT NULL,
    serial TEXT NOT NULL,
    ari_id TEXT NOT NULL,
    key_fingerprint TEXT NOT NULL,
    leaf BLOB NOT NULL,
    chain_id TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revocation_reason INTEGER,
    replaced_by INTEGER,
    serial_hash INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    PRIMARY KEY (id)
) STRICT;

CREATE INDEX certificates_crl ON certificates (authority, not_after) WHERE revoked_at IS NOT NULL;

CREATE INDEX certificates_expiry ON certificates (not_after);

CREATE INDEX certificates_namespace ON certificates (namespace, not_after) WHERE namespace <> '';

CREATE UNIQUE INDEX certificates_order ON certificates (order_id);

CREATE INDEX certificates_revoked ON certificates (id) WHERE revoked_at IS NOT NULL;

CREATE INDEX certificates_serial ON certificates (serial_hash);

CREATE TABLE chains (
    id TEXT NOT NULL,
    pems TEXT NOT NULL,
    PRIMARY KEY (id)
) WITHOUT ROWID, STRICT;

CREATE TABLE credentials (
    id INTEGER NOT NULL,
    kid TEXT NOT NULL,
    name TEXT NOT NULL,
    binding TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    disabled_at INTEGER,
    max_uses INTEGER,
    uses INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    rotated_at INTEGER,
    PRIMARY KEY (id)
) STRICT;

CREATE UNIQUE INDEX credentials_kid ON credentials (kid);

CREATE TABLE name_refs (
    name_hash INTEGER NOT NULL,
    ref INTEGER NOT NULL,
    PRIMARY KEY (name_hash, ref)
) WITHOUT ROWID, STRICT;

CREATE TABLE orders (
    id INTEGER NOT NULL,
    secret TEXT NOT NULL,
    directory TEXT NOT NULL,
    account_id INTEGER NOT NULL,
    status TEXT NOT NULL,
    identifiers TEXT NOT NULL,
    authorizations TEXT NOT NULL,
    not_before INTEGER,
    not_after INTEGER,
    profile TEXT NOT NULL,
    replaces TEXT NOT NULL,
    workload TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    error TEXT,
    csr_digest TEXT NOT NULL,
    key_fingerprint TEXT NOT NULL,
    approval BLOB,
    certificate TEXT NOT NULL,
    phase INTEGER NOT NULL,
    claimed_at INTEGER,
    sweep_at INTEGER,
    PRIMARY KEY (id)
) STRICT;

CREATE INDEX orders_account ON orders (account_id, phase);

CREATE INDEX orders_claimed ON orders (claimed_at) WHERE claimed_at IS NOT NULL;

CREATE INDEX orders_sweep ON orders (sweep_at) WHERE sweep_at IS NOT NULL
"""


def upgrade() -> None:
    for statement in DDL.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("an audit log is not migrated back; restore a backup")
