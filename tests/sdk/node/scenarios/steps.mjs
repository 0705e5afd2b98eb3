// Capture, cancellation, and the steps that a state does not allow.
import assert from 'node:assert/strict';
import { refused } from '../world.mjs';

/** The step has to be refused, and the error to hold the intent as it stands. */
async function impossible(step, intent, status) {
  const error = await refused(step, 'StripeInvalidRequestError');
  assert.equal(error.statusCode, 400);
  assert.equal(error.code, 'payment_intent_unexpected_state', error.message);
  assert.equal(error.payment_intent.id, intent.id);
  assert.equal(error.payment_intent.status, status);
  return error;
}

export default {
  'a held payment is captured whole': async (world) => {
    const held = await world.held(4000);
    assert.equal(held.status, 'requires_capture');
    assert.equal(held.amount_capturable, 4000);
    assert.equal(held.amount_received, 0);
    const done = await world.stripe.paymentIntents.capture(held.id);
    assert.equal(done.status, 'succeeded');
    assert.equal(done.amount_capturable, 0);
    assert.equal(done.amount_received, 4000);
  },

  'a held payment is captured in part, and the rest is released': async (world) => {
    const { stripe } = world;
    const held = await world.held(4000);
    const done = await stripe.paymentIntents.capture(held.id, {
      amount_to_capture: 1500,
      metadata: { parcel: '1' },
    });
    assert.equal(done.status, 'succeeded');
    assert.equal(done.amount, 4000);
    assert.equal(done.amount_received, 1500);
    assert.equal(done.metadata.parcel, '1');
    const charge = await stripe.charges.retrieve(done.latest_charge);
    assert.equal(charge.amount_captured, 1500);
    await impossible(stripe.paymentIntents.capture(held.id), held, 'succeeded');
  },

  'more than is held cannot be captured': async (world) => {
    const { stripe } = world;
    const held = await world.held(4000);
    const asked = stripe.paymentIntents.capture(held.id, { amount_to_capture: 4001 });
    const error = await refused(asked, 'StripeInvalidRequestError');
    assert.equal(error.statusCode, 400);
    assert.equal(error.code, 'amount_too_large');
    assert.equal(error.param, 'amount_to_capture');
    assert.equal((await stripe.paymentIntents.retrieve(held.id)).status, 'requires_capture');
  },

  'a payment is cancelled with each reason': async ({ stripe }) => {
    for (const reason of ['duplicate', 'fraudulent', 'requested_by_customer', 'abandoned']) {
      const intent = await stripe.paymentIntents.create({ amount: 900, currency: 'usd' });
      const gone = await stripe.paymentIntents.cancel(intent.id, { cancellation_reason: reason });
      assert.equal(gone.status, 'canceled');
      assert.equal(gone.cancellation_reason, reason);
      assert.ok(gone.canceled_at >= intent.created);
    }
  },

  'a held payment is cancelled, and nothing is taken': async (world) => {
    const held = await world.held(4000);
    const gone = await world.stripe.paymentIntents.cancel(held.id);
    assert.equal(gone.status, 'canceled');
    assert.equal(gone.amount_capturable, 0);
    assert.equal(gone.amount_received, 0);
    const charge = await world.stripe.charges.retrieve(held.latest_charge);
    assert.equal(charge.captured, false);
    assert.equal(charge.amount_captured, 0);
  },

  'a reason for cancelling that is none is refused': async ({ stripe }) => {
    const intent = await stripe.paymentIntents.create({ amount: 900, currency: 'usd' });
    const asked = stripe.paymentIntents.cancel(intent.id, { cancellation_reason: 'bored' });
    const error = await refused(asked, 'StripeInvalidRequestError');
    assert.equal(error.param, 'cancellation_reason');
    const still = await stripe.paymentIntents.retrieve(intent.id);
    assert.equal(still.status, 'requires_payment_method');
  },

  'steps that a state does not allow are refused with the intent inside': async (world) => {
    const { stripe } = world;
    const { paymentIntents: intents } = stripe;
    const fresh = await intents.create({ amount: 900, currency: 'usd' });
    await impossible(intents.capture(fresh.id), fresh, 'requires_payment_method');
    const paid = await world.paid(900);
    await impossible(intents.confirm(paid.id), paid, 'succeeded');
    await impossible(intents.capture(paid.id), paid, 'succeeded');
    await impossible(intents.cancel(paid.id), paid, 'succeeded');
    await impossible(intents.update(paid.id, { amount: 901 }), paid, 'succeeded');
    const gone = await intents.cancel(fresh.id);
    await impossible(intents.confirm(gone.id, { payment_method: 'pm_card_visa' }), gone, 'canceled');
    await impossible(intents.cancel(gone.id), gone, 'canceled');
    await impossible(intents.update(gone.id, { description: 'too late' }), gone, 'canceled');
    const held = await world.held(900);
    await impossible(intents.update(held.id, { amount: 901 }), held, 'requires_capture');
    await impossible(intents.confirm(held.id), held, 'requires_capture');
  },

  'what was paid can still be described': async (world) => {
    const paid = await world.paid(900);
    const described = await world.stripe.paymentIntents.update(paid.id, {
      description: 'Sent on Monday',
      metadata: { parcel: '7' },
    });
    assert.equal(described.status, 'succeeded');
    assert.equal(described.description, 'Sent on Monday');
    assert.deepEqual(described.metadata, { parcel: '7' });
  },
};
