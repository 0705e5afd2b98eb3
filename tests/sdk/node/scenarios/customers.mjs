// Customers and the methods that they keep.
import assert from 'node:assert/strict';
import { refused, unique, until } from '../world.mjs';

export default {
  'a customer is created, read, changed and deleted': async ({ stripe }) => {
    const made = await stripe.customers.create({
      name: 'Ada Lovelace',
      email: 'ada@example.com',
      phone: '+4612345',
      address: { line1: 'Street 1', city: 'Stockholm', country: 'SE' },
      metadata: { level: 'gold' },
      preferred_locales: ['sv', 'en'],
    });
    assert.match(made.id, /^cus_/);
    assert.equal(made.object, 'customer');
    assert.equal(made.name, 'Ada Lovelace');
    assert.equal(made.address.city, 'Stockholm');
    assert.deepEqual(made.preferred_locales, ['sv', 'en']);
    const changed = await stripe.customers.update(made.id, {
      name: 'Ada King',
      description: 'Countess',
      metadata: { level: '' },
    });
    assert.equal(changed.name, 'Ada King');
    assert.equal(changed.email, 'ada@example.com');
    assert.deepEqual(changed.metadata, {});
    assert.equal((await stripe.customers.retrieve(made.id)).description, 'Countess');
    const gone = await stripe.customers.del(made.id);
    assert.equal(gone.deleted, true);
    assert.equal((await stripe.customers.retrieve(made.id)).deleted, true);
    const late = stripe.customers.update(made.id, { name: 'Nobody' });
    assert.equal((await refused(late, 'StripeInvalidRequestError')).code, 'resource_missing');
  },

  'customers are listed by their address': async ({ stripe }) => {
    const email = `${unique('list')}@example.com`;
    const made = await stripe.customers.create({ email });
    await stripe.customers.create({ email: `other-${email}` });
    const found = await stripe.customers.list({ email });
    assert.deepEqual(
      found.data.map((it) => it.id),
      [made.id],
    );
    assert.equal(found.url, '/v1/customers');
  },

  'customers are found by what is known of them': async ({ stripe }) => {
    const mark = unique('mark');
    const made = await stripe.customers.create({
      email: `${mark}@example.com`,
      name: 'Grace Hopper',
      metadata: { mark },
    });
    for (const query of [`metadata['mark']:'${mark}'`, `email:'${mark}@example.com' AND name~'Hopp'`]) {
      const found = await until(query, async () => {
        const page = await stripe.customers.search({ query });
        return page.data.length > 0 && page;
      });
      assert.equal(found.object, 'search_result');
      assert.equal(found.has_more, false);
      assert.deepEqual(
        found.data.map((it) => it.id),
        [made.id],
      );
    }
  },

  'a method is created, read and changed': async ({ stripe }) => {
    const customer = await stripe.customers.create({ name: 'Owner' });
    const made = await stripe.paymentMethods.create({
      type: 'card',
      card: { number: '378282246310005', exp_month: 11, exp_year: 2039, cvc: '1234' },
      billing_details: { name: 'Jenny Rosen', email: 'jenny@example.com' },
      metadata: { a: '1' },
    });
    assert.match(made.id, /^pm_/);
    assert.equal(made.type, 'card');
    assert.equal(made.customer, null);
    assert.equal(made.card.brand, 'amex');
    assert.equal(made.card.last4, '0005');
    assert.equal(made.card.exp_month, 11);
    assert.equal(made.card.number, undefined);
    assert.equal(made.card.cvc, undefined);
    await stripe.paymentMethods.attach(made.id, { customer: customer.id });
    const changed = await stripe.paymentMethods.update(made.id, {
      billing_details: { name: 'Jenny Doe' },
      card: { exp_month: 12, exp_year: 2041 },
      metadata: { a: '', b: '2' },
    });
    assert.equal(changed.billing_details.name, 'Jenny Doe');
    assert.equal(changed.billing_details.email, 'jenny@example.com');
    assert.equal(changed.card.exp_month, 12);
    assert.equal(changed.card.exp_year, 2041);
    assert.deepEqual((await stripe.paymentMethods.retrieve(made.id)).metadata, { b: '2' });
  },

  'a method is attached, listed, paid with and detached': async (world) => {
    const { stripe } = world;
    const customer = await stripe.customers.create({ name: 'Regular' });
    const visa = await stripe.paymentMethods.attach('pm_card_visa', { customer: customer.id });
    assert.equal(visa.customer, customer.id);
    const amex = await stripe.paymentMethods.attach('pm_card_amex', { customer: customer.id });
    const ids = (list) => list.data.map((it) => it.id);
    const listed = await stripe.paymentMethods.list({ customer: customer.id, type: 'card' });
    assert.deepEqual(ids(listed), [amex.id, visa.id]);
    const ofCustomer = await stripe.customers.listPaymentMethods(customer.id, { limit: 1 });
    assert.deepEqual(ids(ofCustomer), [amex.id]);
    assert.equal(ofCustomer.has_more, true);
    const paid = await world.paid(1200, { customer: customer.id, payment_method: visa.id });
    assert.equal(paid.status, 'succeeded');
    assert.equal(paid.customer, customer.id);
    const foreign = await refused(
      world.paid(1200, { payment_method: amex.id }),
      'StripeInvalidRequestError',
    );
    assert.equal(foreign.param, 'payment_method');
    const detached = await stripe.paymentMethods.detach(visa.id);
    assert.equal(detached.customer, null);
    assert.deepEqual(ids(await stripe.customers.listPaymentMethods(customer.id)), [amex.id]);
    const reused = world.paid(1200, { payment_method: visa.id });
    assert.equal((await refused(reused, 'StripeInvalidRequestError')).statusCode, 400);
  },
};
