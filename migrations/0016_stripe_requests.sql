-- What was asked of Stripe outside of payments (customers, evidence, sessions): a read model, folded in the append's own
-- statement. `pending_intention` is a UUIDv7: how long Stripe has not answered is in it.

CREATE TABLE stripe_requests (
    merchant          text   NOT NULL,
    request_id        uuid   NOT NULL,
    method            text   NOT NULL,
    path              text   NOT NULL,
    status            text   NOT NULL,
    -- What Stripe changed, and its id there.
    object            text,
    stripe_id         text,
    pending_intention uuid,
    version           bigint NOT NULL,
    position          bigint NOT NULL,
    PRIMARY KEY (merchant, request_id)
) WITH (fillfactor = 70);
-- What recovery looks for.
CREATE INDEX stripe_requests_pending ON stripe_requests (pending_intention) WHERE pending_intention IS NOT NULL;
