// A payment from its creation to its success or refusal.
import assert from 'node:assert/strict';
import { refused } from '../world.mjs';

/** Number, code and decline code of cards that issuers refuse. */
const DECLINED = [
  ['4000000000000002', 'card_declined', 'generic_decline', 'Your card was declined.'],
  ['4000000000009995', 'card_declined', 'insufficient_funds', 'Your card has insufficient funds.'],
  ['4000000000009987', 'card_declined', 'lost_card', 'Your card was declined.'],
  ['4000000000000069', 'expired_card', 'expired_card', 'Your card has expired.'],
  ['4000000000000127', 'incorrect_cvc', 'incorrect_cvc', "Your card's security code is incorrect."],
];

function card(number) {
  return { type: 'card', card: { number, exp_month: 12, exp_year: 2040, cvc: '123' } };
}

export default {
  'a payment is created and waits for its method': async ({ stripe }) => {
    const intent = await stripe.paymentIntents.create({
      amount: 2000,
      currency: 'usd',
      description: 'Two tickets',
      receipt_email: 'payer@example.com',
      metadata: { cart: '17', note: 'ÄÖÜ & co' },
    });
    assert.match(intent.id, /^pi_/);
    assert.equal(intent.object, 'payment_intent');
    assert.equal(intent.amount, 2000);
    assert.equal(intent.currency, 'usd');
    assert.equal(intent.status, 'requires_payment_method');
    assert.equal(intent.description, 'Two tickets');
    assert.equal(intent.receipt_email, 'payer@example.com');
    assert.deepEqual(intent.metadata, { cart: '17', note: 'ÄÖÜ & co' });
    assert.equal(intent.livemode, false);
    assert.equal(intent.latest_charge, null);
    assert.ok(intent.client_secret.startsWith(`${intent.id}_secret_`));
    assert.ok(Math.abs(intent.created - Date.now() / 1000) < 60);
    assert.equal(intent.lastResponse.statusCode, 200);
    assert.match(intent.lastResponse.requestId, /^req_/);
    const again = await stripe.paymentIntents.retrieve(intent.id);
    assert.deepEqual(again, { ...intent });
  },

  'a payment is created and confirmed in one step': async (world) => {
    const intent = await world.paid(1099);
    assert.equal(intent.status, 'succeeded');
    assert.equal(intent.amount_received, 1099);
    assert.equal(intent.amount_capturable, 0);
    assert.match(intent.latest_charge, /^ch_/);
    assert.match(intent.payment_method, /^pm_/);
    const charge = await world.stripe.charges.retrieve(intent.latest_charge);
    assert.equal(charge.amount, 1099);
    assert.equal(charge.captured, true);
    assert.equal(charge.paid, true);
    assert.equal(charge.payment_intent, intent.id);
    assert.equal(charge.payment_method_details.card.last4, '4242');
  },

  'a payment is updated, given a method and confirmed': async ({ stripe }) => {
    const created = await stripe.paymentIntents.create({
      amount: 2000,
      currency: 'eur',
      metadata: { kept: 'yes', gone: 'soon' },
      payment_method_types: ['card'],
    });
    const changed = await stripe.paymentIntents.update(created.id, {
      amount: 2500,
      description: 'Two and a half tickets',
      metadata: { gone: '', added: 'late' },
    });
    assert.equal(changed.amount, 2500);
    assert.equal(changed.status, 'requires_payment_method');
    assert.deepEqual(changed.metadata, { kept: 'yes', added: 'late' });
    const method = await stripe.paymentMethods.create(card('4242424242424242'));
    const armed = await stripe.paymentIntents.update(created.id, { payment_method: method.id });
    assert.equal(armed.status, 'requires_confirmation');
    assert.equal(armed.payment_method, method.id);
    const done = await stripe.paymentIntents.confirm(created.id);
    assert.equal(done.status, 'succeeded');
    assert.equal(done.amount_received, 2500);
    assert.equal(done.currency, 'eur');
    assert.equal(done.description, 'Two and a half tickets');
  },

  'a payment is confirmed with the data of a card': async ({ stripe }) => {
    const created = await stripe.paymentIntents.create({
      amount: 500,
      currency: 'usd',
      payment_method_types: ['card'],
    });
    const done = await stripe.paymentIntents.confirm(created.id, {
      payment_method_data: card('5555555555554444'),
      expand: ['payment_method'],
    });
    assert.equal(done.status, 'succeeded');
    assert.equal(done.payment_method.card.brand, 'mastercard');
    assert.equal(done.payment_method.card.last4, '4444');
  },

  'a declined card is a card error with the intent inside': async ({ stripe }) => {
    for (const [number, code, declineCode, message] of DECLINED) {
      const method = await stripe.paymentMethods.create(card(number));
      const created = await stripe.paymentIntents.create({
        amount: 2000,
        currency: 'usd',
        payment_method: method.id,
        payment_method_types: ['card'],
      });
      const error = await refused(stripe.paymentIntents.confirm(created.id), 'StripeCardError');
      assert.equal(error.statusCode, 402);
      assert.equal(error.code, code);
      assert.equal(error.decline_code, declineCode);
      assert.equal(error.message, message);
      assert.match(error.charge, /^ch_/);
      assert.match(error.requestId, /^req_/);
      assert.equal(error.payment_intent.id, created.id);
      assert.equal(error.payment_intent.status, 'requires_payment_method');
      assert.equal(error.payment_intent.last_payment_error.code, code);
      assert.equal(error.payment_method.id, method.id);
      const charge = await stripe.charges.retrieve(error.charge);
      assert.equal(charge.status, 'failed');
      assert.equal(charge.failure_code, code);
      assert.equal(charge.outcome.network_status, 'declined_by_network');
    }
  },

  'a payment declined at its creation can be paid with another card': async (world) => {
    const { stripe } = world;
    const attempt = world.paid(3000, { payment_method: 'pm_card_chargeDeclined' });
    const error = await refused(attempt, 'StripeCardError');
    assert.equal(error.code, 'card_declined');
    const intent = await stripe.paymentIntents.retrieve(error.payment_intent.id);
    assert.equal(intent.status, 'requires_payment_method');
    assert.equal(intent.amount_received, 0);
    const done = await stripe.paymentIntents.confirm(intent.id, { payment_method: 'pm_card_visa' });
    assert.equal(done.status, 'succeeded');
    assert.equal(done.amount_received, 3000);
    assert.equal(done.last_payment_error, null);
    const charges = await stripe.charges.list({ payment_intent: intent.id });
    assert.deepEqual(
      charges.data.map((it) => it.status),
      ['succeeded', 'failed'],
    );
  },

  'a card that cannot be is refused before anything is made': async ({ stripe }) => {
    const cases = [
      [{ number: '4242424242424241' }, 'incorrect_number', 'number'],
      [{ exp_month: 13 }, 'invalid_expiry_month', 'exp_month'],
      [{ exp_year: 2001 }, 'invalid_expiry_year', 'exp_year'],
      [{ cvc: '12' }, 'invalid_cvc', 'cvc'],
    ];
    for (const [wrong, code, param] of cases) {
      const { card: right } = card('4242424242424242');
      const asked = stripe.paymentMethods.create({ type: 'card', card: { ...right, ...wrong } });
      const error = await refused(asked, 'StripeCardError');
      assert.equal(error.code, code);
      assert.equal(error.param, param);
      assert.equal(error.statusCode, 402);
    }
  },

  'a payment that is processing succeeds or fails later': async (world) => {
    const { stripe } = world;
    const good = await world.paid(700, { payment_method: 'pm_card_simProcessing' });
    const bad = await world.paid(800, { payment_method: 'pm_card_simProcessingDeclined' });
    assert.equal(good.status, 'processing');
    assert.equal(bad.status, 'processing');
    await world.settle();
    assert.equal((await stripe.paymentIntents.retrieve(good.id)).status, 'succeeded');
    const after = await stripe.paymentIntents.retrieve(bad.id);
    assert.equal(after.status, 'requires_payment_method');
    assert.equal(after.last_payment_error.code, 'card_declined');
  },
};
