// 3-D Secure: the payer is led to a page, and comes back.
import assert from 'node:assert/strict';
import { receiver, refused } from '../world.mjs';

/** Presses a button on the page that the payer is led to, as a browser without JavaScript, and comes back to the shop. */
async function authenticate(intent, outcome) {
  assert.equal(intent.status, 'requires_action');
  assert.equal(intent.next_action.type, 'redirect_to_url');
  const { url } = intent.next_action.redirect_to_url;
  const page = await fetch(url);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /3-D Secure/);
  const pressed = await fetch(url, { method: 'POST', body: new URLSearchParams({ outcome }) });
  assert.equal(pressed.status, 200);
}

async function withShop(scenario) {
  const shop = await receiver();
  try {
    await scenario(shop);
  } finally {
    shop.close();
  }
}

/** What the shop was told when the payer came back. */
function comeback(shop) {
  const arrival = shop.arrivals.at(-1);
  assert.equal(arrival.method, 'GET');
  return new URL(arrival.url, shop.url).searchParams;
}

export default {
  'a payer who passes 3-D Secure comes back, and has paid': (world) =>
    withShop(async (shop) => {
      const intent = await world.paid(2200, {
        payment_method: 'pm_card_threeDSecure2Required',
        return_url: `${shop.url}/back?cart=17`,
      });
      assert.equal(intent.next_action.redirect_to_url.return_url, `${shop.url}/back?cart=17`);
      await authenticate(intent, 'complete');
      const query = comeback(shop);
      assert.equal(query.get('cart'), '17');
      assert.equal(query.get('payment_intent'), intent.id);
      assert.equal(query.get('payment_intent_client_secret'), intent.client_secret);
      assert.equal(query.get('redirect_status'), 'succeeded');
      const done = await world.stripe.paymentIntents.retrieve(intent.id, {
        expand: ['latest_charge'],
      });
      assert.equal(done.status, 'succeeded');
      assert.equal(done.amount_received, 2200);
      assert.equal(done.next_action, null);
      const { three_d_secure: secure } = done.latest_charge.payment_method_details.card;
      assert.equal(secure.result, 'authenticated');
    }),

  'a payer who fails 3-D Secure comes back, and can try another card': (world) =>
    withShop(async (shop) => {
      const intent = await world.paid(2200, {
        payment_method: 'pm_card_threeDSecure2Required',
        return_url: `${shop.url}/back`,
      });
      await authenticate(intent, 'fail');
      assert.equal(comeback(shop).get('redirect_status'), 'failed');
      const failed = await world.stripe.paymentIntents.retrieve(intent.id);
      assert.equal(failed.status, 'requires_payment_method');
      assert.equal(failed.last_payment_error.code, 'payment_intent_authentication_failure');
      const done = await world.stripe.paymentIntents.confirm(intent.id, {
        payment_method: 'pm_card_visa',
      });
      assert.equal(done.status, 'succeeded');
    }),

  'a held payment that asked for 3-D Secure is captured afterwards': (world) =>
    withShop(async (shop) => {
      const intent = await world.held(2200, {
        payment_method: 'pm_card_threeDSecure2Required',
        return_url: `${shop.url}/back`,
      });
      await authenticate(intent, 'complete');
      const held = await world.stripe.paymentIntents.retrieve(intent.id);
      assert.equal(held.status, 'requires_capture');
      const done = await world.stripe.paymentIntents.capture(intent.id);
      assert.equal(done.status, 'succeeded');
      assert.equal(done.amount_received, 2200);
    }),

  'a payment that may ask for nothing is refused where the card asks': async (world) => {
    const asked = world.paid(2200, {
      payment_method: 'pm_card_authenticationRequired',
      off_session: true,
    });
    const error = await refused(asked, 'StripeCardError');
    assert.equal(error.code, 'authentication_required');
    assert.equal(error.payment_intent.status, 'requires_payment_method');
  },
};
