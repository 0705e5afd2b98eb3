// What an order's system does with Stripe payments through Commerce Layer's own client. `client` holds the client's resources by
// name; what is not as it should be throws.
import assert from 'node:assert/strict';

const ORDER = 'ABCRtyUpBa';
/** The payment that the first scenario makes, for those after it. */
let payment;

/** What a call that must fail fails with. */
async function refused(call) {
  try {
    await call;
  } catch (error) {
    assert.equal(error.name, 'ApiError', String(error.stack));
    return error;
  }
  assert.fail('it was not refused');
}

export const scenarios = {
  async 'a payment is made of the order and read again'({ stripe_payments, orders }) {
    const made = (payment = await stripe_payments.create({
      order: orders.relationship(ORDER),
      reference: 'SDK-1',
      reference_origin: 'sdk',
      return_url: 'https://yourdomain.com/thankyou',
      receipt_email: 'ada@example.com',
      metadata: { foo: 'bar', deep: { er: [1, 2] } },
    }));
    assert.match(made.id, /^[A-Za-z0-9]{10}$/);
    assert.equal(made.type, 'stripe_payments');
    assert.match(made.stripe_id, /^pi_/);
    assert.ok(made.client_secret.startsWith(`${made.stripe_id}_secret_`));
    assert.equal(made.mismatched_amounts, false);
    const read = await stripe_payments.retrieve(made.id);
    assert.deepEqual(read.metadata, { foo: 'bar', deep: { er: [1, 2] } });
    assert.equal(read.receipt_email, 'ada@example.com');
    assert.equal(read.client_secret, made.client_secret);
  },

  async 'it is found in lists, counted, filtered, sorted'({ stripe_payments }) {
    const list = await stripe_payments.list({
      filters: { id_eq: payment.id, reference_eq: 'SDK-1', reference_origin_in: ['sdk', 'other'] },
      sort: { created_at: 'desc' },
      pageNumber: 1,
      pageSize: 5,
    });
    assert.equal(list.length, 1);
    assert.equal(list.recordCount, 1);
    assert.equal(list.pageCount, 1);
    assert.equal(list.hasNextPage(), false);
    assert.equal(list.first().client_secret, null);
    assert.equal(await stripe_payments.count({ reference_eq: 'nobody' }), 0);
  },

  async 'what it is related to comes along'({ stripe_payments }) {
    const include = ['order', 'payment_gateway', 'event_stores'];
    const [whole] = await stripe_payments.list({ filters: { id_eq: payment.id }, include });
    assert.equal(whole.order.id, ORDER);
    assert.equal(whole.order.total_amount_cents, 5900);
    assert.equal(whole.order.currency_code, 'EUR');
    assert.equal(whole.payment_gateway.type, 'stripe_gateways');
    assert.ok(whole.event_stores.length >= 3);
    const few = await stripe_payments.retrieve(payment.id, { fields: ['stripe_id', 'reference'] });
    assert.deepEqual(Object.keys(few).sort(), ['id', 'reference', 'stripe_id', 'type']);
    const order = await stripe_payments.order(payment.id);
    assert.equal(order.payment_status, 'unpaid');
    const gateway = await stripe_payments.payment_gateway(payment.id, { fields: ['name'] });
    assert.equal(gateway.name, 'Stripe');
  },

  async 'its history is told event by event'({ stripe_payments, event_stores }) {
    const history = await stripe_payments.event_stores(payment.id, { pageSize: 2, pageNumber: 2 });
    assert.ok(history.recordCount >= 3);
    const first = (await stripe_payments.event_stores(payment.id)).first();
    assert.equal(first.event, 'create');
    assert.equal(first.resource_id, payment.id);
    assert.deepEqual(first.payload.amount_cents, { from: null, to: 5900 });
    const again = await event_stores.retrieve(first.id);
    assert.deepEqual(again.payload, first.payload);
  },

  async 'a change keeps what it does not name'({ stripe_payments }) {
    const changed = await stripe_payments.update({ id: payment.id, reference: 'SDK-2' });
    assert.equal(changed.reference, 'SDK-2');
    assert.equal(changed.reference_origin, 'sdk');
    assert.deepEqual(changed.metadata, { foo: 'bar', deep: { er: [1, 2] } });
    assert.equal((await stripe_payments._refresh(payment.id)).reference, 'SDK-2');
    assert.equal((await stripe_payments._update(payment.id)).mismatched_amounts, false);
  },

  async 'errors are told in the form that the client reads'({ stripe_payments, orders }) {
    const missing = await refused(stripe_payments.retrieve('nobodyshas'));
    assert.equal(missing.status, 404);
    assert.equal(missing.first().code, 'RECORD_NOT_FOUND');
    const wrong = await refused(stripe_payments.create({ order: orders.relationship(ORDER), return_url: 'javascript:alert(1)' }));
    assert.equal(wrong.status, 422);
    assert.equal(wrong.first().source.pointer, '/data/attributes/return_url');
    const filter = await refused(stripe_payments.list({ filters: { amount_eq: 1 } }));
    assert.equal(filter.first().code, 'FILTER_NOT_ALLOWED');
    const theirs = await refused(stripe_payments.create({ order: orders.relationship('ZZCRtyUpBz') }));
    assert.equal(theirs.status, 404);
  },

  async 'a token that is none is told as such'({ stripe_payments }) {
    const wrong = await refused(stripe_payments.list({}, { accessToken: 'nobody' }));
    assert.equal(wrong.status, 401);
    assert.equal(wrong.first().code, 'INVALID_TOKEN');
  },

  async 'it is deleted, and the next one is another'({ stripe_payments, orders }) {
    await stripe_payments.delete(payment.id);
    assert.equal((await refused(stripe_payments.retrieve(payment.id))).status, 404);
    const next = await stripe_payments.create({ order: orders.relationship(ORDER) });
    assert.notEqual(next.id, payment.id);
  },

  async 'an intent that exists is taken with its secret'({ stripe_payments, orders }) {
    const given = { stripe_id: 'pi_1234XXX', client_secret: 'pi_1234XXX_secret_5678YYY' };
    const taken = await stripe_payments.create({ ...given, order: orders.relationship(ORDER) });
    assert.equal(taken.stripe_id, 'pi_1234XXX');
    const wrong = { ...given, client_secret: 'pi_1234XXX_secret_other' };
    const unfit = await refused(stripe_payments.create({ ...wrong, order: orders.relationship(ORDER) }));
    assert.equal(unfit.first().source.pointer, '/data/attributes/client_secret');
  },
};
