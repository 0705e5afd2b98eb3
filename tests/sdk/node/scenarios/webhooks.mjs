// Endpoints, and deliveries verified with the client's own code.
import assert from 'node:assert/strict';
import Stripe from 'stripe';
import { receiver, refused, until } from '../world.mjs';

/** Older than this many seconds, a delivery is refused. */
const TOLERANCE_S = 300;

function forged(stripe, ...delivery) {
  try {
    stripe.webhooks.constructEvent(...delivery);
  } catch (error) {
    assert.ok(error instanceof Stripe.errors.StripeSignatureVerificationError, error.stack);
    return error.message;
  }
  return assert.fail('a forged delivery was taken for a true one');
}

export default {
  'an endpoint is created, read, changed, listed and deleted': async ({ stripe }) => {
    const made = await stripe.webhookEndpoints.create({
      url: 'http://127.0.0.1:9/hook',
      enabled_events: ['payment_intent.succeeded', 'refund.created'],
      description: 'Mine',
      metadata: { a: '1' },
    });
    assert.match(made.id, /^we_/);
    assert.equal(made.object, 'webhook_endpoint');
    assert.match(made.secret, /^whsec_/);
    assert.equal(made.status, 'enabled');
    assert.deepEqual(made.enabled_events, ['payment_intent.succeeded', 'refund.created']);
    const read = await stripe.webhookEndpoints.retrieve(made.id);
    assert.equal(read.secret, undefined);
    assert.equal(read.description, 'Mine');
    const changed = await stripe.webhookEndpoints.update(made.id, {
      url: 'http://127.0.0.1:9/other',
      enabled_events: ['*'],
      disabled: true,
    });
    assert.equal(changed.url, 'http://127.0.0.1:9/other');
    assert.deepEqual(changed.enabled_events, ['*']);
    assert.equal(changed.status, 'disabled');
    const listed = await stripe.webhookEndpoints.list({ limit: 100 });
    assert.ok(listed.data.some((it) => it.id === made.id && it.secret === undefined));
    const gone = await stripe.webhookEndpoints.del(made.id);
    assert.deepEqual({ ...gone }, { id: made.id, object: 'webhook_endpoint', deleted: true });
    const error = await refused(stripe.webhookEndpoints.retrieve(made.id), 'StripeInvalidRequestError');
    assert.equal(error.statusCode, 404);
    assert.equal(error.code, 'resource_missing');
  },

  'a delivery is verified, and a forged one is not': async (world) => {
    const { stripe } = world;
    const shop = await receiver();
    try {
      const endpoint = await stripe.webhookEndpoints.create({
        url: `${shop.url}/hook`,
        enabled_events: ['payment_intent.succeeded'],
      });
      const paid = await world.paid(3100, { metadata: { cart: '8' } });
      const { body, headers } = await until('the delivery arrives', () =>
        shop.arrivals.find((it) => it.body.includes(paid.id)),
      );
      const signature = headers['stripe-signature'];
      const event = stripe.webhooks.constructEvent(body, signature, endpoint.secret, TOLERANCE_S);
      assert.match(event.id, /^evt_/);
      assert.equal(event.object, 'event');
      assert.equal(event.type, 'payment_intent.succeeded');
      assert.equal(event.data.object.id, paid.id);
      assert.equal(event.data.object.amount_received, 3100);
      assert.deepEqual(event.data.object.metadata, { cart: '8' });
      assert.ok(shop.arrivals.every((it) => it.method === 'POST' && it.url === '/hook'));

      const tampered = body.replace('3100', '1300');
      assert.notEqual(tampered, body);
      assert.match(forged(stripe, tampered, signature, endpoint.secret), /No signatures found/);
      assert.match(forged(stripe, body, signature, 'whsec_of_another'), /No signatures found/);
      const old = stripe.webhooks.generateTestHeaderString({
        payload: body,
        secret: endpoint.secret,
        timestamp: Math.floor(Date.now() / 1000) - TOLERANCE_S - 1,
      });
      assert.match(forged(stripe, body, old, endpoint.secret, TOLERANCE_S), /outside the tolerance/);
      await stripe.webhookEndpoints.del(endpoint.id);
    } finally {
      shop.close();
    }
  },
};
