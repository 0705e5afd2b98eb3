// Money back: in parts, never more than was taken.
import assert from 'node:assert/strict';
import { refused } from '../world.mjs';

export default {
  'a payment is refunded in parts, and not a cent further': async (world) => {
    const { stripe } = world;
    const paid = await world.paid(2000);
    const first = await stripe.refunds.create({
      payment_intent: paid.id,
      amount: 500,
      reason: 'requested_by_customer',
      metadata: { ticket: '1' },
    });
    assert.match(first.id, /^re_/);
    assert.equal(first.amount, 500);
    assert.equal(first.currency, 'usd');
    assert.equal(first.status, 'succeeded');
    assert.equal(first.reason, 'requested_by_customer');
    assert.equal(first.payment_intent, paid.id);
    assert.equal(first.charge, paid.latest_charge);
    assert.deepEqual(first.metadata, { ticket: '1' });
    const more = stripe.refunds.create({ payment_intent: paid.id, amount: 1501 });
    const error = await refused(more, 'StripeInvalidRequestError');
    assert.equal(error.statusCode, 400);
    assert.equal(error.param, 'amount');
    const rest = await stripe.refunds.create({ charge: paid.latest_charge });
    assert.equal(rest.amount, 1500);
    const nothing = stripe.refunds.create({ payment_intent: paid.id });
    const last = await refused(nothing, 'StripeInvalidRequestError');
    assert.equal(last.code, 'charge_already_refunded');
    const charge = await stripe.charges.retrieve(paid.latest_charge);
    assert.equal(charge.refunded, true);
    assert.equal(charge.amount_refunded, 2000);
  },

  'refunds are listed, newest first': async (world) => {
    const { stripe } = world;
    const paid = await world.paid(900);
    const made = [];
    for (const amount of [100, 200, 300]) {
      made.unshift((await stripe.refunds.create({ payment_intent: paid.id, amount })).id);
    }
    const page = await stripe.refunds.list({ payment_intent: paid.id, limit: 2 });
    assert.equal(page.object, 'list');
    assert.equal(page.url, '/v1/refunds');
    assert.equal(page.has_more, true);
    assert.deepEqual(
      page.data.map((it) => it.id),
      made.slice(0, 2),
    );
    const all = await stripe.refunds.list({ charge: paid.latest_charge });
    assert.equal(all.has_more, false);
    assert.deepEqual(
      all.data.map((it) => it.id),
      made,
    );
  },

  'a refund is described after the fact': async (world) => {
    const { stripe } = world;
    const paid = await world.paid(900);
    const refund = await stripe.refunds.create({
      payment_intent: paid.id,
      metadata: { kept: 'yes', gone: 'soon' },
    });
    const updated = await stripe.refunds.update(refund.id, { metadata: { gone: '', by: 'me' } });
    assert.deepEqual(updated.metadata, { kept: 'yes', by: 'me' });
    const read = await stripe.refunds.retrieve(refund.id);
    assert.deepEqual(read.metadata, { kept: 'yes', by: 'me' });
    assert.equal(read.amount, 900);
  },

  'a refund that has succeeded cannot be cancelled': async (world) => {
    const { stripe } = world;
    const paid = await world.paid(900);
    const refund = await stripe.refunds.create({ payment_intent: paid.id });
    const error = await refused(stripe.refunds.cancel(refund.id), 'StripeInvalidRequestError');
    assert.equal(error.statusCode, 400);
    assert.equal((await stripe.refunds.retrieve(refund.id)).status, 'succeeded');
  },

  'a refund that the payer has to act on is cancelled, and its money can be refunded again': async (world) => {
    const { stripe } = world;
    const paid = await world.paid(900, { payment_method: 'pm_card_simRefundRequiresAction' });
    const refund = await stripe.refunds.create({ payment_intent: paid.id });
    assert.equal(refund.status, 'requires_action');
    const gone = await stripe.refunds.cancel(refund.id);
    assert.equal(gone.status, 'canceled');
    const again = await stripe.refunds.create({ payment_intent: paid.id, amount: 900 });
    assert.equal(again.amount, 900);
  },

  'a refund fails later, and its money is there again': async (world) => {
    const { stripe } = world;
    const paid = await world.paid(900, { payment_method: 'pm_card_refundFail' });
    const refund = await stripe.refunds.create({ payment_intent: paid.id });
    assert.equal(refund.status, 'succeeded');
    await world.settle();
    const failed = await stripe.refunds.retrieve(refund.id);
    assert.equal(failed.status, 'failed');
    assert.match(failed.failure_balance_transaction, /^txn_/);
    const charge = await stripe.charges.retrieve(paid.latest_charge);
    assert.equal(charge.amount_refunded, 0);
  },

  'what was not taken cannot be refunded': async (world) => {
    const { stripe } = world;
    const held = await world.held(900);
    const asked = stripe.refunds.create({ payment_intent: held.id });
    const error = await refused(asked, 'StripeInvalidRequestError');
    assert.equal(error.statusCode, 400);
    assert.equal(error.code, 'charge_not_refundable');
  },
};
