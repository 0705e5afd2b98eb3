-- Payments as the payment sources of orders: by a short id of their own, with what the order's system says of them, listed in the
-- order in which they were begun.

-- The same letters as `PaymentId::short` and its like make.
CREATE FUNCTION short_id(kind text, name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(
        substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', get_byte(hash, i) % 62 + 1, 1), '' ORDER BY i)
    FROM (SELECT sha256(convert_to(kind || ':' || name, 'UTF8')) AS hash) h, generate_series(0, 9) AS i
$$;

ALTER TABLE payments
    ADD COLUMN short_id         text,
    ADD COLUMN charge           text,
    -- In the order's system.
    ADD COLUMN reference        text,
    ADD COLUMN reference_origin text,
    ADD COLUMN return_url       text,
    ADD COLUMN metadata         jsonb,
    -- It pays an order, there is an intent at Stripe, and the order's system has not thrown it away.
    ADD COLUMN listed           boolean,
    -- When its first and its last event were recorded.
    ADD COLUMN created_at       timestamptz,
    ADD COLUMN updated_at       timestamptz;

UPDATE payments p SET
    short_id = short_id('payment', p.payment_id::text),
    metadata = '{}',
    listed = p.order_id IS NOT NULL AND p.intent IS NOT NULL,
    created_at = (SELECT e.recorded_at FROM events e
        WHERE e.aggregate_type = 'payment' AND e.aggregate_id = p.merchant || '/' || p.payment_id AND e.sequence = 1),
    updated_at = (SELECT e.recorded_at FROM events e WHERE e.position = p.position);

ALTER TABLE payments
    ALTER COLUMN short_id SET NOT NULL,
    ALTER COLUMN metadata SET NOT NULL,
    ALTER COLUMN listed SET NOT NULL,
    ALTER COLUMN created_at SET NOT NULL,
    ALTER COLUMN updated_at SET NOT NULL;
CREATE UNIQUE INDEX payments_by_short_id ON payments (merchant, short_id);
CREATE INDEX payments_listed ON payments (merchant, created_at, payment_id) WHERE listed;

-- What an order is called where payment sources are: its own reference where that system keeps it, a short id elsewhere.
ALTER TABLE orders ADD COLUMN short_id text;
UPDATE orders SET short_id = CASE
    WHEN source = 'commerce_layer' AND reference ~ '^[A-Za-z0-9_-]{1,64}$' THEN reference
    ELSE short_id('order', order_id::text) END;
ALTER TABLE orders ALTER COLUMN short_id SET NOT NULL;
-- Not unique: a caller's own reference may be what another order's short id is by chance.
CREATE INDEX orders_by_short_id ON orders (merchant, short_id);

DROP FUNCTION short_id(text, text);

-- What the organisation is called in answers; one that is not set is derived from the merchant's id.
ALTER TABLE merchants ADD COLUMN organization text CHECK (organization ~ '^[A-Za-z0-9]{1,64}$');
