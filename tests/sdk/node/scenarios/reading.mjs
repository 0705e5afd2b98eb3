// Charges, expansion, search and the filters of lists.
import assert from 'node:assert/strict';
import { refused, unique, until } from '../world.mjs';

const ids = (list) => list.data.map((it) => it.id);

export default {
  'a charge is read, described and listed': async (world) => {
    const { stripe } = world;
    const customer = await stripe.customers.create({ name: 'Charged' });
    const paid = await world.paid(1300, { customer: customer.id, description: 'One' });
    const charge = await stripe.charges.retrieve(paid.latest_charge);
    assert.equal(charge.object, 'charge');
    assert.equal(charge.customer, customer.id);
    assert.equal(charge.description, 'One');
    assert.equal(charge.outcome.type, 'authorized');
    const updated = await stripe.charges.update(charge.id, {
      description: 'One, sent',
      metadata: { parcel: '9' },
    });
    assert.equal(updated.description, 'One, sent');
    assert.equal(updated.metadata.parcel, '9');
    assert.deepEqual(ids(await stripe.charges.list({ customer: customer.id })), [charge.id]);
    assert.deepEqual(ids(await stripe.charges.list({ payment_intent: paid.id })), [charge.id]);
  },

  'charges are found by their metadata and their card': async (world) => {
    const mark = unique('mark');
    const paid = await world.paid(1300, { metadata: { mark }, payment_method: 'pm_card_mastercard' });
    const query = `metadata['mark']:'${mark}' AND payment_method_details.card.last4:'4444'`;
    const found = await until('the charge is found', async () => {
      const page = await world.stripe.charges.search({ query });
      return page.data.length > 0 && page;
    });
    assert.deepEqual(ids(found), [paid.latest_charge]);
    assert.equal(found.url, '/v1/charges/search');
  },

  'an intent is read with its charge, balance transaction, method and customer': async (world) => {
    const { stripe } = world;
    const customer = await stripe.customers.create({ name: 'Expanded' });
    const paid = await world.paid(10000, { customer: customer.id });
    const read = await stripe.paymentIntents.retrieve(paid.id, {
      expand: ['latest_charge.balance_transaction', 'payment_method', 'customer'],
    });
    assert.equal(read.latest_charge.object, 'charge');
    assert.equal(read.payment_method.card.last4, '4242');
    assert.equal(read.customer.name, 'Expanded');
    const booked = read.latest_charge.balance_transaction;
    assert.equal(booked.object, 'balance_transaction');
    assert.equal(booked.amount, 10000);
    assert.equal(booked.net, booked.amount - booked.fee);
    assert.equal(booked.source, read.latest_charge.id);
    const created = await world.paid(500, { expand: ['latest_charge.balance_transaction'] });
    assert.equal(created.latest_charge.balance_transaction.amount, 500);
  },

  'a list is read with its charges': async (world) => {
    const { stripe } = world;
    const customer = await stripe.customers.create({ name: 'Listed' });
    const first = await world.paid(600, { customer: customer.id });
    const second = await world.paid(700, { customer: customer.id });
    const list = await stripe.paymentIntents.list({
      customer: customer.id,
      expand: ['data.latest_charge'],
    });
    assert.deepEqual(ids(list), [second.id, first.id]);
    assert.deepEqual(
      list.data.map((it) => it.latest_charge.amount),
      [700, 600],
    );
  },

  'what cannot be expanded is refused': async (world) => {
    const paid = await world.paid(500);
    const asked = world.stripe.paymentIntents.retrieve(paid.id, { expand: ['amount'] });
    const error = await refused(asked, 'StripeInvalidRequestError');
    assert.equal(error.param, 'expand');
    assert.equal(error.message, 'This property cannot be expanded (amount).');
  },

  'intents are found by their metadata, page by page': async (world) => {
    const { stripe } = world;
    const mark = unique('mark');
    const made = [];
    for (const amount of [600, 700, 800]) {
      const intent = await stripe.paymentIntents.create({
        amount,
        currency: 'usd',
        metadata: { mark },
      });
      made.unshift(intent.id);
    }
    const query = `metadata['mark']:'${mark}'`;
    const all = await until('the three are found', async () => {
      const found = await stripe.paymentIntents.search({ query, limit: 2 }).autoPagingToArray({ limit: 10 });
      return found.length === 3 && found;
    });
    assert.deepEqual(
      all.map((it) => it.id),
      made,
    );
    const dear = await stripe.paymentIntents.search({ query: `${query} AND amount>650 AND status:'requires_payment_method'` });
    assert.deepEqual(ids(dear), made.slice(0, 2));
    assert.equal(dear.next_page, null);
    const error = await refused(
      stripe.paymentIntents.search({ query: 'colour:"red"' }),
      'StripeInvalidRequestError',
    );
    assert.equal(error.param, 'query');
  },

  'intents are listed by time and by customer': async ({ stripe }) => {
    const customer = await stripe.customers.create({ name: 'Timed' });
    const made = await stripe.paymentIntents.create({
      amount: 600,
      currency: 'usd',
      customer: customer.id,
    });
    const of = (created) => stripe.paymentIntents.list({ customer: customer.id, created });
    assert.deepEqual(ids(await of({ gte: made.created })), [made.id]);
    assert.deepEqual(ids(await of({ lte: made.created })), [made.id]);
    assert.deepEqual(ids(await of({ gt: made.created })), []);
    assert.deepEqual(ids(await of({ lt: made.created })), []);
    assert.deepEqual(ids(await of(made.created)), [made.id]);
  },

  'lists keep to their limits': async ({ stripe }) => {
    for (const limit of [0, 101]) {
      const error = await refused(stripe.paymentIntents.list({ limit }), 'StripeInvalidRequestError');
      assert.equal(error.statusCode, 400);
      assert.equal(error.code, 'parameter_invalid_integer');
      assert.equal(error.param, 'limit');
    }
    const lost = stripe.paymentIntents.list({ starting_after: 'pi_nowhere' });
    const error = await refused(lost, 'StripeInvalidRequestError');
    assert.equal(error.code, 'resource_missing');
    assert.equal(error.param, 'starting_after');
  },
};
