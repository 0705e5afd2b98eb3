// What Stripe alone knows: the balance and its transactions, disputes, events, payouts.
import assert from 'node:assert/strict';
import { refused, until } from '../world.mjs';

const DAY_S = 24 * 3600;

/** A payment whose bank has disputed it, and the dispute. */
async function disputed(world, amount) {
  const paid = await world.paid(amount, { payment_method: 'pm_card_createDispute' });
  await world.settle();
  const list = await world.stripe.disputes.list({ payment_intent: paid.id });
  assert.equal(list.data.length, 1);
  return { paid, dispute: list.data[0] };
}

export default {
  'the balance is told, and every movement behind it': async (world) => {
    const { stripe } = world;
    const paid = await world.paid(10000, { expand: ['latest_charge'] });
    const refund = await stripe.refunds.create({ payment_intent: paid.id, amount: 2500 });
    const balance = await stripe.balance.retrieve();
    assert.equal(balance.object, 'balance');
    assert.ok(balance.pending.some((it) => it.currency === 'usd' && Number.isInteger(it.amount)));
    const booked = await stripe.balanceTransactions.retrieve(paid.latest_charge.balance_transaction);
    assert.equal(booked.type, 'charge');
    assert.equal(booked.reporting_category, 'charge');
    assert.equal(booked.amount, 10000);
    assert.equal(booked.fee, booked.fee_details.reduce((sum, it) => sum + it.amount, 0));
    assert.equal(booked.net, booked.amount - booked.fee);
    const back = await stripe.balanceTransactions.list({ source: refund.id, type: 'refund' });
    assert.deepEqual(
      back.data.map((it) => [it.id, it.amount]),
      [[refund.balance_transaction, -2500]],
    );
    const none = await stripe.balanceTransactions.list({ source: refund.id, type: 'charge' });
    assert.deepEqual(none.data, []);
  },

  'a dispute is answered with evidence, and won': async (world) => {
    const { stripe } = world;
    const { paid, dispute } = await disputed(world, 5200);
    assert.equal(dispute.status, 'needs_response');
    assert.equal(dispute.reason, 'fraudulent');
    assert.equal(dispute.amount, 5200);
    assert.equal(dispute.charge, paid.latest_charge);
    const gathered = await stripe.disputes.update(dispute.id, {
      evidence: { product_description: 'A ticket' },
      submit: false,
      metadata: { case: '4' },
    });
    assert.equal(gathered.status, 'needs_response');
    assert.equal(gathered.evidence.product_description, 'A ticket');
    assert.deepEqual(gathered.metadata, { case: '4' });
    const submitted = await stripe.disputes.update(dispute.id, {
      evidence: { uncategorized_text: 'winning_evidence' },
    });
    assert.equal(submitted.status, 'under_review');
    assert.equal(submitted.evidence_details.submission_count, 1);
    await world.settle();
    const won = await stripe.disputes.retrieve(dispute.id);
    assert.equal(won.status, 'won');
    assert.deepEqual(
      won.balance_transactions.map((it) => it.amount),
      [-5200, 5200],
    );
  },

  'a dispute is given in to, and cannot be answered any more': async (world) => {
    const { stripe } = world;
    const { paid, dispute } = await disputed(world, 5300);
    const closed = await stripe.disputes.close(dispute.id);
    assert.equal(closed.status, 'lost');
    const twice = await refused(stripe.disputes.close(dispute.id), 'StripeInvalidRequestError');
    assert.equal(twice.code, 'dispute_already_closed');
    const refund = stripe.refunds.create({ payment_intent: paid.id });
    assert.equal((await refused(refund, 'StripeInvalidRequestError')).code, 'charge_disputed');
  },

  'events tell what happened to an intent': async (world) => {
    const { stripe } = world;
    const paid = await world.paid(4400);
    const event = await until('the event is listed', async () => {
      const page = await stripe.events.list({ type: 'payment_intent.succeeded', limit: 20 });
      return page.data.find((it) => it.data.object.id === paid.id);
    });
    assert.equal(event.object, 'event');
    assert.equal(event.type, 'payment_intent.succeeded');
    assert.equal(event.data.object.amount_received, 4400);
    const read = await stripe.events.retrieve(event.id);
    assert.equal(read.id, event.id);
    assert.equal(read.data.object.id, paid.id);
    const several = await stripe.events.list({ types: ['charge.succeeded'], limit: 3 });
    assert.ok(several.data.length > 0);
    assert.ok(several.data.every((it) => it.type === 'charge.succeeded'));
  },

  'what is available is paid out, and a payout is itemised': async (world) => {
    const { stripe } = world;
    await world.paid(7700);
    await world.sim('POST', 'clock', { advance_s: 9 * DAY_S });
    await world.sim('POST', 'payouts', { account: world.account, automatic: true });
    const list = await stripe.payouts.list({ limit: 100 });
    const of = list.data.find((it) => it.currency === 'usd');
    assert.match(of.id, /^po_/);
    assert.equal(of.automatic, true);
    const payout = await stripe.payouts.retrieve(of.id, { expand: ['balance_transaction'] });
    assert.equal(payout.balance_transaction.amount, -payout.amount);
    let net = 0;
    for await (const booked of stripe.balanceTransactions.list({ payout: of.id, limit: 100 })) {
      net += booked.type === 'payout' ? 0 : booked.net;
    }
    assert.equal(net, payout.amount);
    await world.sim('POST', 'settle', { account: world.account });
    const paid = await stripe.payouts.list({ status: 'paid', limit: 100 });
    assert.ok(paid.data.some((it) => it.id === of.id));
  },
};
