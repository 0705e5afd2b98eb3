-- What merchants sell at prices of their own: a read model, folded in the append's own statement. What it costs is decided from
-- the events; this is for finding and listing.

CREATE TABLE offers (
    merchant   text        NOT NULL,
    offer_id   uuid        NOT NULL,
    -- What people call it.
    number     text        NOT NULL,
    currency   text        NOT NULL,
    -- How many products it has, and how many of them are selected.
    products   bigint      NOT NULL,
    selected   bigint      NOT NULL,
    expires_at timestamptz,
    withdrawn  boolean     NOT NULL,
    version    bigint      NOT NULL,
    position   bigint      NOT NULL,
    PRIMARY KEY (merchant, offer_id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX offers_by_number ON offers (merchant, number);
