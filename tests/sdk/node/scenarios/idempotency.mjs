// The same key again: the same answer, another request's refusal, or a request that is still running.
import assert from 'node:assert/strict';
import { refused, unique, until } from '../world.mjs';

const replayed = (object) => object.lastResponse.headers['idempotent-replayed'];

export default {
  'a repeated creation is answered with the same intent': async ({ stripe }) => {
    const idempotencyKey = unique('create');
    const params = { amount: 1500, currency: 'usd', metadata: { cart: '3' } };
    const first = await stripe.paymentIntents.create(params, { idempotencyKey });
    const second = await stripe.paymentIntents.create(params, { idempotencyKey });
    assert.equal(replayed(first), undefined);
    assert.equal(replayed(second), 'true');
    assert.deepEqual({ ...second }, { ...first });
    assert.equal(second.lastResponse.idempotencyKey, idempotencyKey);
    assert.notEqual(second.lastResponse.requestId, first.lastResponse.requestId);
  },

  'a repeated answer tells how it was then': async ({ stripe }) => {
    const idempotencyKey = unique('then');
    const params = { amount: 1500, currency: 'usd' };
    const first = await stripe.paymentIntents.create(params, { idempotencyKey });
    await stripe.paymentIntents.cancel(first.id);
    const second = await stripe.paymentIntents.create(params, { idempotencyKey });
    assert.equal(second.id, first.id);
    assert.equal(second.status, 'requires_payment_method');
    assert.equal((await stripe.paymentIntents.retrieve(first.id)).status, 'canceled');
  },

  'a repeated refund is one refund': async (world) => {
    const { stripe } = world;
    const paid = await world.paid(2000);
    const idempotencyKey = unique('refund');
    const params = { payment_intent: paid.id, amount: 400 };
    const first = await stripe.refunds.create(params, { idempotencyKey });
    const second = await stripe.refunds.create(params, { idempotencyKey });
    assert.equal(second.id, first.id);
    assert.equal(replayed(second), 'true');
    assert.equal((await stripe.charges.retrieve(paid.latest_charge)).amount_refunded, 400);
  },

  'a repeated decline is the same decline': async (world) => {
    const idempotencyKey = unique('decline');
    const attempt = async () => {
      const params = {
        amount: 1500,
        currency: 'usd',
        confirm: true,
        payment_method: 'pm_card_chargeDeclined',
        payment_method_types: ['card'],
      };
      return refused(world.stripe.paymentIntents.create(params, { idempotencyKey }), 'StripeCardError');
    };
    const first = await attempt();
    const second = await attempt();
    assert.equal(second.code, 'card_declined');
    assert.equal(second.charge, first.charge);
    assert.equal(second.payment_intent.id, first.payment_intent.id);
    assert.equal(second.headers['idempotent-replayed'], 'true');
  },

  'a repeated customer is one customer': async ({ stripe }) => {
    const idempotencyKey = unique('customer');
    const params = { name: 'Only One', metadata: { n: '1' } };
    const first = await stripe.customers.create(params, { idempotencyKey });
    const second = await stripe.customers.create(params, { idempotencyKey });
    assert.equal(second.id, first.id);
    assert.equal(replayed(second), 'true');
  },

  'a key with other parameters is an idempotency error': async ({ stripe }) => {
    const idempotencyKey = unique('other');
    const params = { amount: 1500, currency: 'usd' };
    await stripe.paymentIntents.create(params, { idempotencyKey });
    const asked = stripe.paymentIntents.create({ ...params, amount: 1501 }, { idempotencyKey });
    const error = await refused(asked, 'StripeIdempotencyError');
    assert.equal(error.statusCode, 400);
    assert.equal(error.rawType, 'idempotency_error');
    assert.ok(error.message.includes(idempotencyKey));
    const elsewhere = stripe.customers.create({ name: 'Nobody' }, { idempotencyKey });
    assert.equal((await refused(elsewhere, 'StripeIdempotencyError')).statusCode, 400);
  },

  'a refusal for a wrong parameter is not kept under the key': async ({ stripe }) => {
    const idempotencyKey = unique('free');
    const wrong = stripe.paymentIntents.create({ amount: 1, currency: 'usd' }, { idempotencyKey });
    await refused(wrong, 'StripeInvalidRequestError');
    const made = await stripe.paymentIntents.create({ amount: 1500, currency: 'usd' }, { idempotencyKey });
    assert.equal(made.amount, 1500);
    assert.equal(replayed(made), undefined);
  },

  'a key whose request is still running is in use': async (world) => {
    const { stripe } = world;
    const idempotencyKey = unique('running');
    const params = { amount: 1500, currency: 'usd' };
    await world.sim('POST', 'faults', {
      kind: 'hold_before',
      method: 'POST',
      path_prefix: '/v1/payment_intents',
      account: world.account,
    });
    const running = stripe.paymentIntents.create(params, { idempotencyKey });
    try {
      await until('the request is held', async () => (await world.sim('GET', 'faults')).held === 1);
      const asked = stripe.paymentIntents.create(params, { idempotencyKey });
      // The client keeps its own class for the 400 of other parameters.
      const error = await refused(asked, 'StripeAPIError');
      assert.equal(error.statusCode, 409);
      assert.equal(error.code, 'idempotency_key_in_use');
    } finally {
      await world.sim('POST', 'faults/release');
    }
    const made = await running;
    assert.equal(made.amount, 1500);
    const again = await stripe.paymentIntents.create(params, { idempotencyKey });
    assert.equal(again.id, made.id);
    assert.equal(replayed(again), 'true');
  },
};
