// Checkout: a page of its own, paid once or expired.
import assert from 'node:assert/strict';
import { receiver, refused } from '../world.mjs';

const ITEMS = [
  {
    quantity: 2,
    price_data: { currency: 'sek', unit_amount: 25000, product_data: { name: 'Haircut' } },
  },
  {
    quantity: 1,
    price_data: { currency: 'sek', unit_amount: 10000, product_data: { name: 'Beard' } },
  },
];

function session(stripe, more = {}) {
  return stripe.checkout.sessions.create({
    mode: 'payment',
    line_items: ITEMS,
    success_url: 'https://shop.example/thanks?session={CHECKOUT_SESSION_ID}',
    cancel_url: 'https://shop.example/back',
    ...more,
  });
}

export default {
  'a session is created, read and listed with its items': async ({ stripe }) => {
    const customer = await stripe.customers.create({ name: 'Guest', email: 'guest@example.com' });
    const made = await session(stripe, {
      customer: customer.id,
      client_reference_id: 'booking-5',
      metadata: { booking: '5' },
    });
    assert.match(made.id, /^cs_test_/);
    assert.equal(made.object, 'checkout.session');
    assert.equal(made.status, 'open');
    assert.equal(made.payment_status, 'unpaid');
    assert.equal(made.amount_total, 60000);
    assert.equal(made.currency, 'sek');
    assert.equal(made.client_reference_id, 'booking-5');
    assert.ok(made.url.startsWith('http'));
    assert.equal(made.expires_at - made.created, 24 * 3600);
    const read = await stripe.checkout.sessions.retrieve(made.id, { expand: ['line_items'] });
    assert.deepEqual(
      read.line_items.data.map((it) => it.description),
      ['Haircut', 'Beard'],
    );
    const items = await stripe.checkout.sessions.listLineItems(made.id, { limit: 1 });
    assert.equal(items.has_more, true);
    assert.equal(items.data[0].quantity, 2);
    assert.equal(items.data[0].amount_total, 50000);
    const next = await stripe.checkout.sessions.listLineItems(made.id, {
      starting_after: items.data[0].id,
    });
    assert.equal(next.has_more, false);
    assert.equal(next.data[0].price.unit_amount, 10000);
    const listed = await stripe.checkout.sessions.list({ customer: customer.id, status: 'open' });
    assert.deepEqual(
      listed.data.map((it) => it.id),
      [made.id],
    );
  },

  'a session is paid on its page, and its intent has succeeded': async ({ stripe }) => {
    const shop = await receiver();
    try {
      const made = await session(stripe, {
        success_url: `${shop.url}/thanks?session={CHECKOUT_SESSION_ID}`,
        cancel_url: `${shop.url}/back`,
        payment_intent_data: { description: 'Booking 5', metadata: { booking: '5' } },
      });
      const page = await fetch(made.url);
      assert.match(await page.text(), /Haircut/);
      const form = { action: 'pay', email: 'guest@example.com', method: 'pm_card_visa' };
      const paid = await fetch(made.url, { method: 'POST', body: new URLSearchParams(form) });
      assert.equal(paid.status, 200);
      assert.equal(shop.arrivals.at(-1).url, `/thanks?session=${made.id}`);
      const done = await stripe.checkout.sessions.retrieve(made.id, { expand: ['payment_intent'] });
      assert.equal(done.status, 'complete');
      assert.equal(done.payment_status, 'paid');
      assert.equal(done.customer_details.email, 'guest@example.com');
      assert.equal(done.payment_intent.status, 'succeeded');
      assert.equal(done.payment_intent.amount_received, 60000);
      assert.equal(done.payment_intent.description, 'Booking 5');
      assert.deepEqual(done.payment_intent.metadata, { booking: '5' });
      const late = stripe.checkout.sessions.expire(made.id);
      assert.equal((await refused(late, 'StripeInvalidRequestError')).statusCode, 400);
      const refund = await stripe.refunds.create({
        payment_intent: done.payment_intent.id,
        amount: 10000,
      });
      assert.equal(refund.amount, 10000);
      assert.equal(refund.status, 'succeeded');
    } finally {
      shop.close();
    }
  },

  'a session expires, and cannot be paid': async ({ stripe }) => {
    const made = await session(stripe);
    const expired = await stripe.checkout.sessions.expire(made.id);
    assert.equal(expired.status, 'expired');
    assert.equal(expired.url, null);
    const form = { action: 'pay', email: 'guest@example.com', method: 'pm_card_visa' };
    const late = await fetch(made.url, { method: 'POST', body: new URLSearchParams(form) });
    assert.equal(late.status, 410);
    const twice = stripe.checkout.sessions.expire(made.id);
    assert.equal((await refused(twice, 'StripeInvalidRequestError')).statusCode, 400);
    const read = await stripe.checkout.sessions.retrieve(made.id);
    assert.equal(read.payment_status, 'unpaid');
  },

  'an embedded session has a secret in place of a page': async ({ stripe }) => {
    const made = await stripe.checkout.sessions.create({
      mode: 'payment',
      ui_mode: 'embedded',
      line_items: ITEMS,
      return_url: 'https://shop.example/thanks?session={CHECKOUT_SESSION_ID}',
    });
    assert.equal(made.url, null);
    assert.equal(made.ui_mode, 'embedded');
    assert.equal(typeof made.client_secret, 'string');
  },

  'a session that lacks what it needs is refused': async ({ stripe }) => {
    const asked = stripe.checkout.sessions.create({ mode: 'payment', success_url: 'https://a.example' });
    const error = await refused(asked, 'StripeInvalidRequestError');
    assert.equal(error.code, 'parameter_missing');
    assert.equal(error.param, 'line_items');
  },
};
