"""The SQL of the hot path, as text, so that SQLite's statement cache finds it by identity.

Every constant here is explained by a test against the tables of tables.py: no scan, no sort, no unknown column.
INDEXED BY states which index a statement is made for; SQLite refuses the statement if that index does not serve.
"""

# ruff: noqa: S608 (only constants of this file are put together)

from typing import Final

ACCOUNT_COLUMNS: Final = (
    "a.id, a.secret, a.directory, a.thumbprint, a.jwk, a.status, a.contacts, a.credential_id, a.eab, a.created_at"
)
CREDENTIAL_COLUMNS: Final = (
    "c.id, c.kid, c.name, c.binding, c.sealed_secret, c.created_at, c.expires_at, c.disabled_at, c.max_uses, c.uses, "
    "c.generation"
)
ORDER_COLUMNS: Final = (
    "id, secret, directory, account_id, status, identifiers, authorizations, not_before, not_after, profile, replaces, "
    "workload, created_at, expires_at, error, csr_digest, key_fingerprint, approval, certificate"
)
AUTHORIZATION_COLUMNS: Final = (
    "id, secret, account_id, order_id, identifier_type, identifier, wildcard, subdomains, scope, status, token, "
    "challenges, created_at, expires_at, due_at, version"
)
APPROVAL_COLUMNS: Final = (
    "order_id, policy, approvers, status, asked_at, expires_at, decided_at, decided_by, reason, told_at, seal"
)
CERTIFICATE_COLUMNS: Final = (
    "id, secret, order_id, account_id, authority, serial, ari_id, key_fingerprint, leaf, chain_id, not_before, "
    "not_after, created_at, revoked_at, revocation_reason, replaced_by"
)
EVENT_COLUMNS: Final = (
    "e.seq, e.at, e.kind, e.outcome, e.body, e.directory, e.account_id, e.order_id, e.namespace, e.serial, e.names"
)

# Accounts and credentials.
ACCOUNT: Final = (
    f"SELECT {ACCOUNT_COLUMNS}, {CREDENTIAL_COLUMNS} FROM accounts a "
    "LEFT JOIN credentials c ON c.id = a.credential_id WHERE a.id = ?"
)
ACCOUNT_BY_KEY: Final = (
    f"SELECT {ACCOUNT_COLUMNS} FROM accounts a INDEXED BY accounts_key "
    "WHERE a.key_hash = ? AND a.thumbprint = ? AND a.directory = ?"
)
INSERT_ACCOUNT: Final = (
    "INSERT INTO accounts (secret, directory, thumbprint, key_hash, jwk, status, contacts, credential_id, eab, "
    "created_at) VALUES (?, ?, ?, ?, ?, 'valid', ?, ?, ?, ?)"
)
UPDATE_CONTACTS: Final = "UPDATE accounts SET contacts = ? WHERE id = ? AND status = 'valid'"
MOVE_ACCOUNT: Final = "UPDATE accounts SET status = ? WHERE id = ? AND status = ?"
ACCOUNT_DIRECTORY: Final = "SELECT directory FROM accounts WHERE id = ?"
CHANGE_KEY: Final = (
    "UPDATE accounts SET thumbprint = ?, key_hash = ?, jwk = ? WHERE id = ? AND thumbprint = ? AND status = 'valid'"
)
CREDENTIAL: Final = f"SELECT {CREDENTIAL_COLUMNS} FROM credentials c INDEXED BY credentials_kid WHERE c.kid = ?"
USE_CREDENTIAL: Final = (
    "UPDATE credentials SET uses = uses + 1 WHERE id = ? AND disabled_at IS NULL "
    "AND (expires_at IS NULL OR expires_at > ?) AND (max_uses IS NULL OR uses < max_uses)"
)
INSERT_CREDENTIAL: Final = (
    "INSERT INTO credentials (kid, name, binding, sealed_secret, created_at, expires_at, max_uses, uses, generation) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, 0, 1)"
)
DISABLE_CREDENTIAL: Final = "UPDATE credentials SET disabled_at = ? WHERE kid = ? AND disabled_at IS NULL"
ROTATE_CREDENTIAL: Final = (
    "UPDATE credentials SET sealed_secret = ?, rotated_at = ?, generation = generation + 1 "
    "WHERE kid = ? AND disabled_at IS NULL"
)

# Orders. `phase` is 0 while unfinished, 1 when valid, 2 when invalid.
ORDER: Final = f"SELECT {ORDER_COLUMNS} FROM orders WHERE id = ?"
ORDERS_OF: Final = (
    "SELECT id, secret FROM orders INDEXED BY orders_account "
    "WHERE account_id = ? AND phase = ? AND id > ? ORDER BY id LIMIT ?"
)
PENDING_ORDERS: Final = (
    "SELECT count(*) FROM (SELECT 1 FROM orders INDEXED BY orders_account WHERE account_id = ? AND phase = 0 LIMIT ?)"
)
ORDERS_TO_CANCEL: Final = (
    f"SELECT {ORDER_COLUMNS} FROM orders INDEXED BY orders_account "
    "WHERE account_id = ? AND phase = 0 AND status IN ('pending', 'ready') LIMIT ?"
)
PROCESSING_ORDERS: Final = (
    f"SELECT {ORDER_COLUMNS} FROM orders INDEXED BY orders_claimed "
    "WHERE claimed_at < ? AND claimed_at IS NOT NULL ORDER BY claimed_at LIMIT ?"
)
INSERT_ORDER: Final = (
    "INSERT INTO orders (secret, directory, account_id, status, identifiers, authorizations, not_before, not_after, "
    "profile, replaces, workload, created_at, expires_at, csr_digest, key_fingerprint, certificate, phase, sweep_at) "
    "VALUES (?, ?, ?, ?, ?, '[]', ?, ?, ?, ?, ?, ?, ?, '', '', '', 0, ?)"
)
SET_AUTHORIZATIONS: Final = (
    "UPDATE orders SET authorizations = ?, status = ? "
    "WHERE id = ? AND authorizations = '[]' AND status IN ('pending', 'ready')"
)
SET_WORKLOAD: Final = "UPDATE orders SET workload = ? WHERE id = ? AND (workload IS NULL OR workload = ?)"
# Whatever happens above this layer, an order that still waits for somebody's approval does not become ready.
ORDER_READY: Final = (
    "UPDATE orders SET status = 'ready' WHERE id = ? AND status = ? "
    "AND NOT EXISTS (SELECT 1 FROM approvals WHERE order_id = orders.id AND approvals.status <> 'granted')"
)
# An order that was claimed may have a certificate, so it stays for good; others are removed some time after expiry.
ORDER_INVALID: Final = (
    "UPDATE orders SET status = 'invalid', phase = 2, error = ?, approval = NULL, claimed_at = NULL, "
    "sweep_at = CASE csr_digest WHEN '' THEN expires_at + ? END WHERE id = ? AND status = ?"
)
CLAIM_ORDER: Final = (
    "UPDATE orders SET status = 'processing', csr_digest = ?, key_fingerprint = ?, approval = ?, claimed_at = ?, "
    "sweep_at = NULL WHERE id = ? AND status = 'ready'"
)
COMPLETE_ORDER: Final = (
    "UPDATE orders SET status = 'valid', phase = 1, certificate = ?, approval = NULL, claimed_at = NULL "
    "WHERE id = ? AND status = 'processing' "
    "AND EXISTS (SELECT 1 FROM certificates c WHERE c.id = ? AND c.order_id = orders.id)"
)

# Approvals by people.
APPROVALS: Final = f"SELECT {APPROVAL_COLUMNS} FROM approvals WHERE order_id = ? ORDER BY policy"
OVERDUE_APPROVALS: Final = (
    f"SELECT {APPROVAL_COLUMNS} FROM approvals INDEXED BY approvals_due "
    "WHERE status = 'waiting' AND expires_at <= ? ORDER BY expires_at LIMIT ?"
)
INSERT_APPROVAL: Final = (
    "INSERT INTO approvals (order_id, policy, approvers, status, decided_by, reason) "
    "VALUES (?, ?, ?, 'planned', '', '')"
)
AWAIT_APPROVALS: Final = (
    "UPDATE approvals SET status = 'waiting', asked_at = ?, expires_at = ? WHERE order_id = ? AND status = 'planned'"
)
DECIDE_APPROVAL: Final = (
    "UPDATE approvals SET status = ?, decided_at = ?, decided_by = ?, reason = ?, seal = ? "
    "WHERE order_id = ? AND policy = ? AND status = 'waiting'"
)
END_APPROVALS: Final = "UPDATE approvals SET status = 'ended' WHERE order_id = ? AND status IN ('planned', 'waiting')"
TELL_APPROVALS: Final = "UPDATE approvals SET told_at = ? WHERE order_id = ? AND told_at IS NULL"
DELETE_APPROVALS: Final = "DELETE FROM approvals WHERE order_id = ?"

# Authorizations.
AUTHORIZATION: Final = f"SELECT {AUTHORIZATION_COLUMNS} FROM authorizations WHERE id = ?"
REUSABLE_AUTHORIZATIONS: Final = (
    f"SELECT {AUTHORIZATION_COLUMNS} FROM authorizations INDEXED BY authorizations_reusable "
    "WHERE holder_hash = ? AND expires_at > ? AND order_id IS NULL AND status = 'valid' "
    "AND account_id = ? AND identifier = ? AND scope = ? ORDER BY expires_at DESC LIMIT 20"
)
OWN_AUTHORIZATIONS: Final = (
    "SELECT count(*) FROM (SELECT 1 FROM authorizations INDEXED BY authorizations_own "
    "WHERE account_id = ? AND order_id IS NULL AND status IN ('pending', 'valid') LIMIT ?)"
)
DUE_AUTHORIZATIONS: Final = (
    f"SELECT {AUTHORIZATION_COLUMNS} FROM authorizations INDEXED BY authorizations_due "
    "WHERE due_at <= ? AND due_at IS NOT NULL ORDER BY due_at LIMIT ?"
)
COVERS: Final = (
    "SELECT 1 FROM authorizations INDEXED BY authorizations_valid "
    "WHERE holder_hash = ? AND wildcard = ? AND expires_at > ? AND status = 'valid' "
    "AND account_id = ? AND identifier = ? LIMIT 1"
)
COVERS_BELOW: Final = (
    f"SELECT {AUTHORIZATION_COLUMNS} FROM authorizations INDEXED BY authorizations_valid "
    "WHERE holder_hash = ? AND wildcard = 0 AND expires_at > ? AND status = 'valid' "
    "AND account_id = ? AND identifier = ? AND subdomains = 1 LIMIT 20"
)
INSERT_AUTHORIZATION: Final = (
    "INSERT INTO authorizations (secret, account_id, order_id, identifier_type, identifier, wildcard, subdomains, "
    "scope, status, token, challenges, created_at, expires_at, version, holder_hash, sweep_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)"
)
REPLACE_AUTHORIZATION: Final = (
    "UPDATE authorizations SET status = ?, challenges = ?, scope = ?, due_at = ?, expires_at = ?, "
    "version = version + 1 WHERE id = ? AND version = ?"
)

# Certificates.
CERTIFICATE: Final = f"SELECT {CERTIFICATE_COLUMNS} FROM certificates WHERE id = ?"
CERTIFICATE_BY_SERIAL: Final = (
    f"SELECT {CERTIFICATE_COLUMNS} FROM certificates INDEXED BY certificates_serial "
    "WHERE serial_hash = ? AND serial = ?"
)
SERIAL_TAKEN: Final = "SELECT 1 FROM certificates INDEXED BY certificates_serial WHERE serial_hash = ? AND serial = ?"
INSERT_CERTIFICATE: Final = (
    "INSERT INTO certificates (secret, order_id, account_id, authority, serial, ari_id, key_fingerprint, leaf, "
    "chain_id, not_before, not_after, created_at, serial_hash, namespace) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
    "coalesce((SELECT json_extract(workload, '$.namespace') FROM orders WHERE id = ?), ''))"
)
MARK_REPLACED: Final = (
    "UPDATE certificates SET replaced_by = ? WHERE id = ? AND (replaced_by IS NULL OR replaced_by = ?"
    " OR NOT EXISTS (SELECT 1 FROM orders WHERE orders.id = certificates.replaced_by AND orders.status != 'invalid'))"
)
REVOKE_CERTIFICATE: Final = (
    "UPDATE certificates SET revoked_at = ?, revocation_reason = ? WHERE id = ? AND revoked_at IS NULL"
)
REVOKED: Final = (
    "SELECT serial, revoked_at, revocation_reason FROM certificates INDEXED BY certificates_crl "
    "WHERE authority = ? AND not_after >= ? AND revoked_at IS NOT NULL"
)
CHAIN: Final = "SELECT pems FROM chains WHERE id = ?"
INSERT_CHAIN: Final = "INSERT OR IGNORE INTO chains (id, pems) VALUES (?, ?)"
KEY_IS_BLOCKED: Final = "SELECT 1 FROM blocked_keys WHERE fingerprint = ?"
BLOCK_KEY: Final = "INSERT OR IGNORE INTO blocked_keys (fingerprint, blocked_at) VALUES (?, ?)"

# The audit log. SQLite gives the row max(seq) + 1.
APPEND_EVENT: Final = (
    "INSERT INTO audit_events (at, kind, outcome, body, directory, account_id, order_id, namespace, serial, names, "
    "serial_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
REFER_TO_NAME: Final = "INSERT OR IGNORE INTO name_refs (name_hash, ref) VALUES (?, ?)"
WIDEN_BLOCK: Final = (
    "INSERT INTO audit_blocks (block, min_at, max_at) VALUES (?, ?, ?) ON CONFLICT (block) DO UPDATE "
    "SET min_at = min(min_at, excluded.min_at), max_at = max(max_at, excluded.max_at)"
)
MARK_BLOCK: Final = "INSERT OR IGNORE INTO audit_marks (mark_hash, block) VALUES (?, ?)"
LAST_EVENT: Final = "SELECT max(seq) FROM audit_events"
NEXT_BLOCK_AT: Final = (
    "SELECT block FROM audit_blocks WHERE block >= ? AND max_at >= ? AND min_at <= ? ORDER BY block LIMIT 1"
)
NEXT_BLOCK_MARKED: Final = "SELECT block FROM audit_marks WHERE mark_hash = ? AND block >= ? ORDER BY block LIMIT 1"
NAME_REFS: Final = "SELECT ref FROM name_refs WHERE name_hash = ? AND ref > ? ORDER BY ref LIMIT ?"
ORDER_ASKS_FOR: Final = "SELECT identifiers FROM orders WHERE id = ?"
NAMES_OF_ORDER_EVENTS: Final = "SELECT names FROM audit_events INDEXED BY audit_events_order WHERE order_id = ?"
NAMES_OF_EVENT: Final = "SELECT names FROM audit_events WHERE seq = ?"
CREATE_WANTED: Final = "CREATE TEMP TABLE wanted (seq INTEGER PRIMARY KEY)"
WANT_ORDER: Final = (
    "INSERT OR IGNORE INTO temp.wanted SELECT seq FROM audit_events INDEXED BY audit_events_order "
    "WHERE order_id = ? AND seq > ? AND seq <= ?"
)
WANT_EVENT: Final = "INSERT OR IGNORE INTO temp.wanted VALUES (?)"

# Housekeeping.
ORDERS_TO_SWEEP: Final = (
    f"SELECT {ORDER_COLUMNS} FROM orders INDEXED BY orders_sweep "
    "WHERE sweep_at <= ? AND sweep_at IS NOT NULL ORDER BY sweep_at LIMIT ?"
)
# The newest row stays, so that its id is never given to another one.
DELETE_ORDER: Final = (
    "DELETE FROM orders WHERE id = ? AND status = 'invalid' AND csr_digest = '' AND id < (SELECT max(id) FROM orders)"
)
POSTPONE_ORDER: Final = "UPDATE orders SET sweep_at = ? WHERE id = ?"
DELETE_AUTHORIZATION_OF_ORDER: Final = (
    "DELETE FROM authorizations WHERE id = ? AND order_id = ? AND id < (SELECT max(id) FROM authorizations)"
)
AUTHORIZATIONS_TO_SWEEP: Final = (
    f"SELECT {AUTHORIZATION_COLUMNS} FROM authorizations INDEXED BY authorizations_sweep "
    "WHERE sweep_at <= ? AND sweep_at IS NOT NULL ORDER BY sweep_at LIMIT ?"
)
EXPIRE_AUTHORIZATION: Final = (
    "UPDATE authorizations SET status = ?, due_at = NULL, sweep_at = ?, version = version + 1 WHERE id = ?"
)
POSTPONE_AUTHORIZATION: Final = "UPDATE authorizations SET sweep_at = ? WHERE id = ?"
DELETE_AUTHORIZATION: Final = (
    "DELETE FROM authorizations WHERE id = ? AND order_id IS NULL AND id < (SELECT max(id) FROM authorizations)"
)
