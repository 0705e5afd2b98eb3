-- Claims of idempotency keys: found by whoever ends what they were made for, and removed when they are old.

-- Recovery ends an intention for a caller that is gone: it answers the caller's key along with it. `intention` names a step of a
-- payment or a refund, `request` a change at Stripe that no payment carries.
CREATE INDEX claims_open_by_payment ON claims (ledger, (context ->> 'payment'))
    WHERE answer IS NULL AND (context ->> 'payment') IS NOT NULL;
CREATE INDEX claims_open_by_request ON claims (ledger, (context ->> 'request'))
    WHERE answer IS NULL AND (context ->> 'request') IS NOT NULL;
