// What the caller did wrong, told in the client's own classes.
import assert from 'node:assert/strict';
import { refused } from '../world.mjs';

async function invalid(promise, code, param) {
  const error = await refused(promise, 'StripeInvalidRequestError');
  assert.equal(error.statusCode, 400);
  assert.equal(error.code, code, error.message);
  assert.equal(error.param, param);
  assert.match(error.requestId, /^req_/);
  return error;
}

export default {
  'a key that is none is an authentication error': async (world) => {
    const stranger = world.client('sk_test_of_nobody');
    const error = await refused(stranger.balance.retrieve(), 'StripeAuthenticationError');
    assert.equal(error.statusCode, 401);
    assert.equal(error.rawType, 'invalid_request_error');
    assert.ok(!error.message.includes('sk_test_of_nobody'));
    const asked = stranger.paymentIntents.create({ amount: 500, currency: 'usd' });
    await refused(asked, 'StripeAuthenticationError');
  },

  'an object that there is not is missing': async ({ stripe }) => {
    const cases = [
      [() => stripe.paymentIntents.retrieve('pi_nowhere'), "No such payment_intent: 'pi_nowhere'", 'intent'],
      [() => stripe.paymentIntents.cancel('pi_nowhere'), "No such payment_intent: 'pi_nowhere'", 'intent'],
      [() => stripe.refunds.retrieve('re_nowhere'), "No such refund: 're_nowhere'", 'refund'],
      [() => stripe.charges.retrieve('ch_nowhere'), "No such charge: 'ch_nowhere'", 'charge'],
      [() => stripe.customers.retrieve('cus_nowhere'), "No such customer: 'cus_nowhere'", 'id'],
      [() => stripe.disputes.retrieve('dp_nowhere'), "No such dispute: 'dp_nowhere'", 'dispute'],
      [() => stripe.events.retrieve('evt_nowhere'), "No such event: 'evt_nowhere'", 'id'],
    ];
    for (const [ask, message, param] of cases) {
      const error = await refused(ask(), 'StripeInvalidRequestError');
      assert.equal(error.statusCode, 404);
      assert.equal(error.code, 'resource_missing');
      assert.equal(error.message, message);
      assert.equal(error.param, param);
    }
    const refund = stripe.refunds.create({ payment_intent: 'pi_nowhere' });
    await invalid(refund, 'resource_missing', 'payment_intent');
  },

  'a parameter that is wrong is named': async ({ stripe }) => {
    const create = (params) => stripe.paymentIntents.create(params);
    await invalid(create({ currency: 'usd' }), 'parameter_missing', 'amount');
    await invalid(create({ amount: 500 }), 'parameter_missing', 'currency');
    await invalid(create({ amount: 'five', currency: 'usd' }), 'parameter_invalid_integer', 'amount');
    await invalid(create({ amount: 49, currency: 'usd' }), 'amount_too_small', 'amount');
    await invalid(create({ amount: 100_000_000, currency: 'usd' }), 'amount_too_large', 'amount');
    await invalid(create({ amount: 500, currency: 'usd', colour: 'red' }), 'parameter_unknown', 'colour');
    const early = { amount: 500, currency: 'usd', return_url: 'https://shop.example' };
    await invalid(create(early), 'payment_intent_invalid_parameter', 'return_url');
    const shipping = { amount: 500, currency: 'usd', shipping: { address: { line1: 'Street' } } };
    await invalid(create(shipping), 'parameter_missing', 'shipping[name]');
    const metadata = { amount: 500, currency: 'usd', metadata: { ['k'.repeat(41)]: 'v' } };
    await invalid(create(metadata), undefined, `metadata[${'k'.repeat(41)}]`);
  },

  'a client secret opens its own intent to a publishable key': async ({ stripe, browser }) => {
    const made = await stripe.paymentIntents.create({ amount: 500, currency: 'usd' });
    const read = await browser.paymentIntents.retrieve(made.id, { client_secret: made.client_secret });
    assert.equal(read.id, made.id);
    assert.equal(read.status, 'requires_payment_method');
    assert.equal(read.amount, 500);
    const other = await stripe.paymentIntents.create({ amount: 500, currency: 'usd' });
    const crossed = browser.paymentIntents.retrieve(made.id, { client_secret: other.client_secret });
    const error = await refused(crossed, 'StripeInvalidRequestError');
    assert.equal(error.statusCode, 400);
    assert.equal(error.param, 'client_secret');
    const bare = await refused(browser.paymentIntents.retrieve(made.id), 'StripeInvalidRequestError');
    assert.equal(bare.code, 'parameter_missing');
    assert.equal(bare.param, 'client_secret');
  },

  'a publishable key changes nothing and lists nothing': async ({ stripe, browser }) => {
    const made = await stripe.paymentIntents.create({ amount: 500, currency: 'usd' });
    for (const ask of [
      () => browser.paymentIntents.create({ amount: 500, currency: 'usd' }),
      () => browser.paymentIntents.list(),
      () => browser.paymentIntents.cancel(made.id),
      () => browser.refunds.create({ payment_intent: made.id }),
      () => browser.customers.create({ name: 'Nobody' }),
      () => browser.balance.retrieve(),
    ]) {
      const error = await refused(ask(), 'StripeAuthenticationError');
      assert.equal(error.statusCode, 401);
      assert.equal(error.code, 'secret_key_required');
    }
  },
};
