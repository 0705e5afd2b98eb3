-- What stands in a Stripe account is shown to the merchant whose account it is, so it is one merchant's alone.
CREATE UNIQUE INDEX merchants_by_stripe_account ON merchants (stripe_account);
