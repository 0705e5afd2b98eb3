-- Who may call, for whom, and through which door.

CREATE TABLE merchants (
    id             text        PRIMARY KEY CHECK (id ~ '^[a-z][a-z0-9_-]{0,39}$'),
    name           text        NOT NULL,
    -- The configuration name of the merchant's own Stripe account; 'default' is STRIPE_SECRET_KEY's.
    stripe_account text        NOT NULL DEFAULT 'default',
    -- Off for a merchant whose contract with Stripe knows no minimum charge.
    enforce_minimum boolean    NOT NULL DEFAULT true,
    -- Fixtures are marked: a live Stripe key refuses to start beside them.
    fixture        boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Keys of ours, never in the clear: a keyed hash (HMAC-SHA-256) that only the service can make.
CREATE TABLE api_keys (
    key_id     text        PRIMARY KEY,
    key_hash   bytea       NOT NULL CHECK (octet_length(key_hash) = 32),
    merchant   text        NOT NULL REFERENCES merchants,
    -- What the key is for: 'stripe_secret', 'stripe_publishable', 'offers', 'shop', 'customer', 'bokamera', 'commerce_layer', 'native'.
    kind       text        NOT NULL,
    -- What it may do, such as 'payments:write'.
    scopes     text[]      NOT NULL,
    -- Whom a customer's token speaks for.
    customer   text        CHECK ((kind = 'customer') = (customer IS NOT NULL)),
    -- What people may see of it, such as 'sk_test_…cme'.
    hint       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);
-- A merchant's token for customers may be the same text as another merchant's: the shop key beside it says whose.
CREATE UNIQUE INDEX api_keys_live ON api_keys (kind, key_hash, merchant) WHERE revoked_at IS NULL;

-- The service says on /readyz whether the schema is current.
GRANT SELECT ON _sqlx_migrations TO counterfoil_writer;
