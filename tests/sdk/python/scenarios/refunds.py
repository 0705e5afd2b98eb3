"""Money back: in parts, never more than was taken."""

import stripe
from world import plain, refused, same


def in_parts(world):
    refunds = world.stripe.refunds
    paid = world.paid(2000)
    first = refunds.create(
        {
            "payment_intent": paid.id,
            "amount": 500,
            "reason": "requested_by_customer",
            "metadata": {"ticket": "1"},
        }
    )
    assert type(first) is stripe.Refund
    same((first.amount, first.currency, first.status), (500, "usd", "succeeded"))
    same((first.payment_intent, first.charge), (paid.id, paid.latest_charge))
    same(first.reason, "requested_by_customer")
    same(plain(first.metadata), {"ticket": "1"})
    more = {"payment_intent": paid.id, "amount": 1501}
    error = refused(lambda: refunds.create(more), stripe.InvalidRequestError)
    same((error.http_status, error.param), (400, "amount"))
    same(refunds.create({"charge": paid.latest_charge}).amount, 1500)
    last = refused(lambda: refunds.create({"payment_intent": paid.id}), stripe.InvalidRequestError)
    same(last.code, "charge_already_refunded")
    charge = world.stripe.charges.retrieve(paid.latest_charge)
    same((charge.refunded, charge.amount_refunded), (True, 2000))


def listed(world):
    refunds = world.stripe.refunds
    paid = world.paid(900)
    made = [
        refunds.create({"payment_intent": paid.id, "amount": amount}).id
        for amount in [100, 200, 300]
    ]
    made.reverse()
    page = refunds.list({"payment_intent": paid.id, "limit": 2})
    same((page.object, page.url, page.has_more), ("list", "/v1/refunds", True))
    same([it.id for it in page.data], made[:2])
    every = refunds.list({"charge": paid.latest_charge})
    same((every.has_more, [it.id for it in every.data]), (False, made))


def described(world):
    refunds = world.stripe.refunds
    paid = world.paid(900)
    refund = refunds.create(
        {"payment_intent": paid.id, "metadata": {"kept": "yes", "gone": "soon"}}
    )
    updated = refunds.update(refund.id, {"metadata": {"gone": "", "by": "me"}})
    same(plain(updated.metadata), {"kept": "yes", "by": "me"})
    read = refunds.retrieve(refund.id)
    same((plain(read.metadata), read.amount), ({"kept": "yes", "by": "me"}, 900))


def not_cancelled(world):
    refunds = world.stripe.refunds
    paid = world.paid(900)
    refund = refunds.create({"payment_intent": paid.id})
    error = refused(lambda: refunds.cancel(refund.id), stripe.InvalidRequestError)
    same(error.http_status, 400)
    same(refunds.retrieve(refund.id).status, "succeeded")


def cancelled(world):
    refunds = world.stripe.refunds
    paid = world.paid(900, payment_method="pm_card_simRefundRequiresAction")
    refund = refunds.create({"payment_intent": paid.id})
    same(refund.status, "requires_action")
    same(refunds.cancel(refund.id).status, "canceled")
    same(refunds.create({"payment_intent": paid.id, "amount": 900}).amount, 900)


def failed(world):
    paid = world.paid(900, payment_method="pm_card_refundFail")
    refund = world.stripe.refunds.create({"payment_intent": paid.id})
    same(refund.status, "succeeded")
    world.settle()
    after = world.stripe.refunds.retrieve(refund.id)
    same(after.status, "failed")
    assert after.failure_balance_transaction.startswith("txn_")
    same(world.stripe.charges.retrieve(paid.latest_charge).amount_refunded, 0)


def not_taken(world):
    held = world.held(900)
    params = {"payment_intent": held.id}
    error = refused(lambda: world.stripe.refunds.create(params), stripe.InvalidRequestError)
    same((error.http_status, error.code), (400, "charge_not_refundable"))


SCENARIOS = {
    "a payment is refunded in parts, and not a cent further": in_parts,
    "refunds are listed, newest first": listed,
    "a refund is described after the fact": described,
    "a refund that has succeeded cannot be cancelled": not_cancelled,
    "a refund that the payer has to act on is cancelled, and its money can be refunded again": cancelled,
    "a refund fails later, and its money is there again": failed,
    "what was not taken cannot be refunded": not_taken,
}
