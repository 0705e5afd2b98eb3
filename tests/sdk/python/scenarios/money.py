"""What Stripe alone knows: the balance and its transactions, disputes, events, payouts."""

import stripe
from world import plain, refused, same, until

DAY_S = 24 * 3600


def disputed(world, amount):
    """A payment whose bank has disputed it, and the dispute."""
    paid = world.paid(amount, payment_method="pm_card_createDispute")
    world.settle()
    page = world.stripe.disputes.list({"payment_intent": paid.id})
    same(len(page.data), 1)
    return paid, page.data[0]


def balance(world):
    transactions = world.stripe.balance_transactions
    paid = world.paid(10000, expand=["latest_charge"])
    refund = world.stripe.refunds.create({"payment_intent": paid.id, "amount": 2500})
    told = world.stripe.balance.retrieve()
    assert type(told) is stripe.Balance
    assert any(it.currency == "usd" and isinstance(it.amount, int) for it in told.pending)
    booked = transactions.retrieve(paid.latest_charge.balance_transaction)
    same((booked.type, booked.reporting_category, booked.amount), ("charge", "charge", 10000))
    same(booked.fee, sum(it.amount for it in booked.fee_details))
    same(booked.net, booked.amount - booked.fee)
    back = transactions.list({"source": refund.id, "type": "refund"})
    same([(it.id, it.amount) for it in back.data], [(refund.balance_transaction, -2500)])
    same(transactions.list({"source": refund.id, "type": "charge"}).data, [])


def dispute_won(world):
    disputes = world.stripe.disputes
    paid, dispute = disputed(world, 5200)
    same((dispute.status, dispute.reason), ("needs_response", "fraudulent"))
    same((dispute.amount, dispute.charge), (5200, paid.latest_charge))
    gathered = disputes.update(
        dispute.id,
        {
            "evidence": {"product_description": "A ticket"},
            "submit": False,
            "metadata": {"case": "4"},
        },
    )
    same(gathered.status, "needs_response")
    same(gathered.evidence.product_description, "A ticket")
    same(plain(gathered.metadata), {"case": "4"})
    submitted = disputes.update(
        dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}}
    )
    same((submitted.status, submitted.evidence_details.submission_count), ("under_review", 1))
    world.settle()
    won = disputes.retrieve(dispute.id)
    same(won.status, "won")
    same([it.amount for it in won.balance_transactions], [-5200, 5200])


def dispute_lost(world):
    disputes = world.stripe.disputes
    paid, dispute = disputed(world, 5300)
    same(disputes.close(dispute.id).status, "lost")
    twice = refused(lambda: disputes.close(dispute.id), stripe.InvalidRequestError)
    same(twice.code, "dispute_already_closed")
    params = {"payment_intent": paid.id}
    refund = refused(lambda: world.stripe.refunds.create(params), stripe.InvalidRequestError)
    same(refund.code, "charge_disputed")


def events(world):
    paid = world.paid(4400)

    def listed():
        page = world.stripe.events.list({"type": "payment_intent.succeeded", "limit": 20})
        return next((it for it in page.data if it.data.object["id"] == paid.id), None)

    event = until("the event is listed", listed)
    same(event.data.object["amount_received"], 4400)
    read = world.stripe.events.retrieve(event.id)
    same((read.id, read.type), (event.id, "payment_intent.succeeded"))
    several = world.stripe.events.list({"types": ["charge.succeeded"], "limit": 3}).data
    assert several
    same({it.type for it in several}, {"charge.succeeded"})


def payouts(world):
    world.paid(7700)
    world.sim("POST", "clock", {"advance_s": 9 * DAY_S})
    world.sim("POST", "payouts", {"account": world.account, "automatic": True})
    page = world.stripe.payouts.list({"limit": 100})
    made = next(it for it in page.data if it.currency == "usd")
    same(made.automatic, True)
    payout = world.stripe.payouts.retrieve(made.id, {"expand": ["balance_transaction"]})
    same(payout.balance_transaction.amount, -payout.amount)
    items = world.stripe.balance_transactions.list({"payout": made.id, "limit": 100})
    net = sum(it.net for it in items.auto_paging_iter() if it.type != "payout")
    same(net, payout.amount)
    world.settle()
    paid = world.stripe.payouts.list({"status": "paid", "limit": 100})
    assert any(it.id == made.id for it in paid.data)


SCENARIOS = {
    "the balance is told, and every movement behind it": balance,
    "a dispute is answered with evidence, and won": dispute_won,
    "a dispute is given in to, and cannot be answered any more": dispute_lost,
    "events tell what happened to an intent": events,
    "what is available is paid out, and a payout is itemised": payouts,
}
