"""The schema, in SQLAlchemy Core. Migrations make exactly this; the hot path's SQL is tested against it.

Row ids are INTEGER PRIMARY KEYs, so inserts append. What is looked up by a random text (a key's thumbprint, a serial,
a name) has a 63-bit hash column with an index, and the text is compared afterwards: an integer index is a third of
the size. Indexes that serve only what is under way are partial. Every index is paid at every insert, so none is here
without a statement that needs it. There are no foreign keys: rows are made by one package, and each would cost a
look-up per insert. Tables are STRICT, so that a value of a wrong type is refused.
"""

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

metadata = MetaData()


def _row_id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _integer(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _blob(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=nullable)


accounts = Table(
    "accounts",
    metadata,
    _row_id(),
    _text("secret"),
    _text("directory"),
    _text("thumbprint"),
    _integer("key_hash"),  # of directory and thumbprint
    _blob("jwk"),
    _text("status"),
    _text("contacts"),  # JSON array
    _integer("credential_id", nullable=True),
    _blob("eab", nullable=True),
    _integer("created_at"),
    Index("accounts_key", "key_hash"),
    sqlite_strict=True,
)

credentials = Table(
    "credentials",
    metadata,
    _row_id(),
    _text("kid"),
    _text("name"),
    _text("binding"),  # JSON object
    _blob("sealed_secret"),
    _integer("created_at"),
    _integer("expires_at", nullable=True),
    _integer("disabled_at", nullable=True),
    _integer("max_uses", nullable=True),
    _integer("uses"),
    _integer("generation"),
    _integer("rotated_at", nullable=True),
    Index("credentials_kid", "kid", unique=True),
    sqlite_strict=True,
)

orders = Table(
    "orders",
    metadata,
    _row_id(),
    _text("secret"),
    _text("directory"),
    _integer("account_id"),
    _text("status"),
    _text("identifiers"),  # JSON array of {"type", "value"}
    _text("authorizations"),  # JSON array of resource ids
    _integer("not_before", nullable=True),
    _integer("not_after", nullable=True),
    _text("profile"),
    _text("replaces"),
    _text("workload", nullable=True),  # JSON object
    _integer("created_at"),
    _integer("expires_at"),
    _text("error", nullable=True),  # JSON object
    _text("csr_digest"),
    _text("key_fingerprint"),
    _blob("approval", nullable=True),
    _text("certificate"),
    _integer("phase"),  # 0 unfinished, 1 valid, 2 invalid: the status, as coarse as the account's index needs it
    _integer("claimed_at", nullable=True),  # while processing
    _integer("sweep_at", nullable=True),  # when housekeeping looks at it next
    Index("orders_account", "account_id", "phase"),
    Index("orders_claimed", "claimed_at", sqlite_where=text("claimed_at IS NOT NULL")),
    Index("orders_sweep", "sweep_at", sqlite_where=text("sweep_at IS NOT NULL")),
    sqlite_strict=True,
)

# Whose approval an order needs: one row for each policy that asks. `seal` is a MAC that only the server can make.
approvals = Table(
    "approvals",
    metadata,
    Column("order_id", Integer, primary_key=True, autoincrement=False),
    Column("policy", Text, primary_key=True, nullable=False),
    _text("approvers"),  # the group
    _text("status"),
    _integer("asked_at", nullable=True),  # when the order began to wait; before that its challenges are done
    _integer("expires_at", nullable=True),
    _integer("decided_at", nullable=True),
    _text("decided_by"),
    _text("reason"),
    _integer("told_at", nullable=True),  # when the client was first told that it was refused
    _blob("seal", nullable=True),
    Index("approvals_waiting", "order_id", sqlite_where=text("status = 'waiting'")),
    Index("approvals_due", "expires_at", sqlite_where=text("status = 'waiting'")),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

authorizations = Table(
    "authorizations",
    metadata,
    _row_id(),
    _text("secret"),
    _integer("account_id"),
    _integer("order_id", nullable=True),
    _text("identifier_type"),
    _text("identifier"),
    _integer("wildcard"),
    _integer("subdomains"),
    _text("scope"),
    _text("status"),
    _text("token"),
    _text("challenges"),  # JSON array
    _integer("created_at"),
    _integer("expires_at"),
    _integer("due_at", nullable=True),
    _integer("version"),
    _integer("holder_hash"),  # of account and identifier
    _integer("sweep_at", nullable=True),
    Index("authorizations_valid", "holder_hash", "wildcard", "expires_at", sqlite_where=text("status = 'valid'")),
    Index(
        "authorizations_reusable",
        "holder_hash",
        "expires_at",
        sqlite_where=text("order_id IS NULL AND status = 'valid'"),
    ),
    Index("authorizations_own", "account_id", sqlite_where=text("order_id IS NULL AND status IN ('pending', 'valid')")),
    Index("authorizations_due", "due_at", sqlite_where=text("due_at IS NOT NULL")),
    Index("authorizations_sweep", "sweep_at", sqlite_where=text("sweep_at IS NOT NULL")),
    sqlite_strict=True,
)

certificates = Table(
    "certificates",
    metadata,
    _row_id(),
    _text("secret"),
    _integer("order_id"),
    _integer("account_id"),
    _text("authority"),
    _text("serial"),
    _text("ari_id"),
    _text("key_fingerprint"),
    _blob("leaf"),
    _text("chain_id"),
    _integer("not_before"),
    _integer("not_after"),
    _integer("created_at"),
    _integer("revoked_at", nullable=True),
    _integer("revocation_reason", nullable=True),
    _integer("replaced_by", nullable=True),
    _integer("serial_hash"),
    _text("namespace"),  # of the order's workload, "" without
    # An order yields at most one certificate, whatever happens above this layer.
    Index("certificates_order", "order_id", unique=True),
    # ARI ids are looked up by the serial that they contain (RFC 9773 §4.1).
    Index("certificates_serial", "serial_hash"),
    Index("certificates_expiry", "not_after"),
    Index("certificates_namespace", "namespace", "not_after", sqlite_where=text("namespace <> ''")),
    Index("certificates_crl", "authority", "not_after", sqlite_where=text("revoked_at IS NOT NULL")),
    Index("certificates_revoked", "id", sqlite_where=text("revoked_at IS NOT NULL")),
    sqlite_strict=True,
)

chains = Table(
    "chains",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    _text("pems"),  # JSON array
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

blocked_keys = Table(
    "blocked_keys",
    metadata,
    Column("fingerprint", Text, primary_key=True, nullable=False),
    _integer("blocked_at"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

audit_events = Table(
    "audit_events",
    metadata,
    # SQLite gives a new row max + 1, and nothing is ever deleted here: gap-free, from 1.
    Column("seq", Integer, primary_key=True),
    _integer("at"),
    _text("kind"),
    _text("outcome"),
    _blob("body"),
    _text("directory"),
    _integer("account_id", nullable=True),
    _integer("order_id", nullable=True),
    _text("namespace"),
    _text("serial"),
    _text("names"),  # JSON array
    _integer("serial_hash", nullable=True),
    Index("audit_events_order", "order_id", sqlite_where=text("order_id IS NOT NULL")),
    Index("audit_events_serial", "serial_hash", sqlite_where=text("serial_hash IS NOT NULL")),
    sqlite_strict=True,
)

# Who spoke of a name: `ref` is an order's row id, or minus the seq of an event that belongs to no order.
name_refs = Table(
    "name_refs",
    metadata,
    Column("name_hash", Integer, primary_key=True, autoincrement=False),
    Column("ref", Integer, primary_key=True, autoincrement=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# What occurs among 1,024 events each (a block is seq / 1024): the earliest and latest `at`, and a mark for each kind,
# outcome, namespace and account. It finds the blocks that can match, and costs a few rows in a thousand events where
# indexes would cost five an event. Clocks step back, so seq and time may disagree; the blocks are right all the same.
audit_blocks = Table(
    "audit_blocks",
    metadata,
    Column("block", Integer, primary_key=True, autoincrement=False),
    _integer("min_at"),
    _integer("max_at"),
    sqlite_strict=True,
)

audit_marks = Table(
    "audit_marks",
    metadata,
    Column("mark_hash", Integer, primary_key=True, autoincrement=False),
    Column("block", Integer, primary_key=True, autoincrement=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
