"""Charges, expansion, search and the filters of lists."""

import stripe
from world import refused, same, unique, until


def ids(page):
    return [it.id for it in page.data]


def charges(world):
    customer = world.stripe.customers.create({"name": "Charged"})
    paid = world.paid(1300, customer=customer.id, description="One")
    charge = world.stripe.charges.retrieve(paid.latest_charge)
    same((charge.customer, charge.description), (customer.id, "One"))
    same(charge.outcome.type, "authorized")
    updated = world.stripe.charges.update(
        charge.id, {"description": "One, sent", "metadata": {"parcel": "9"}}
    )
    same((updated.description, updated.metadata["parcel"]), ("One, sent", "9"))
    same(ids(world.stripe.charges.list({"customer": customer.id})), [charge.id])
    same(ids(world.stripe.charges.list({"payment_intent": paid.id})), [charge.id])


def charges_searched(world):
    mark = unique("mark")
    paid = world.paid(1300, metadata={"mark": mark}, payment_method="pm_card_mastercard")
    query = f"metadata['mark']:'{mark}' AND payment_method_details.card.last4:'4444'"
    found = until(query, lambda: world.stripe.charges.search({"query": query}).data)
    same([it.id for it in found], [paid.latest_charge])


def expanded(world):
    customer = world.stripe.customers.create({"name": "Expanded"})
    paid = world.paid(10000, customer=customer.id)
    read = world.stripe.payment_intents.retrieve(
        paid.id,
        {"expand": ["latest_charge.balance_transaction", "payment_method", "customer"]},
    )
    assert type(read.latest_charge) is stripe.Charge
    same(read.payment_method.card.last4, "4242")
    same(read.customer.name, "Expanded")
    booked = read.latest_charge.balance_transaction
    assert type(booked) is stripe.BalanceTransaction
    same((booked.amount, booked.net), (10000, booked.amount - booked.fee))
    same(booked.source, read.latest_charge.id)
    made = world.paid(500, expand=["latest_charge.balance_transaction"])
    same(made.latest_charge.balance_transaction.amount, 500)


def list_expanded(world):
    customer = world.stripe.customers.create({"name": "Listed"})
    first = world.paid(600, customer=customer.id)
    second = world.paid(700, customer=customer.id)
    page = world.stripe.payment_intents.list(
        {"customer": customer.id, "expand": ["data.latest_charge"]}
    )
    same(ids(page), [second.id, first.id])
    same([it.latest_charge.amount for it in page.data], [700, 600])


def not_expanded(world):
    paid = world.paid(500)
    error = refused(
        lambda: world.stripe.payment_intents.retrieve(paid.id, {"expand": ["amount"]}),
        stripe.InvalidRequestError,
    )
    same(error.param, "expand")
    same(error.user_message, "This property cannot be expanded (amount).")


def searched(world):
    intents = world.stripe.payment_intents
    mark = unique("mark")
    made = [
        intents.create({"amount": amount, "currency": "usd", "metadata": {"mark": mark}}).id
        for amount in [600, 700, 800]
    ]
    made.reverse()
    query = f"metadata['mark']:'{mark}'"

    def all_three():
        found = [it.id for it in intents.search({"query": query, "limit": 2}).auto_paging_iter()]
        return len(found) == 3 and found

    same(until("the three are found", all_three), made)
    dear = f"{query} AND amount>650 AND status:'requires_payment_method'"
    same(ids(intents.search({"query": dear})), made[:2])
    error = refused(lambda: intents.search({"query": 'colour:"red"'}), stripe.InvalidRequestError)
    same(error.param, "query")


def by_time(world):
    intents = world.stripe.payment_intents
    customer = world.stripe.customers.create({"name": "Timed"})
    made = intents.create({"amount": 600, "currency": "usd", "customer": customer.id})

    def of(created):
        return ids(intents.list({"customer": customer.id, "created": created}))

    same(of({"gte": made.created}), [made.id])
    same(of({"lte": made.created}), [made.id])
    same(of({"gt": made.created}), [])
    same(of({"lt": made.created}), [])
    same(of(made.created), [made.id])


def limits(world):
    intents = world.stripe.payment_intents
    for limit in [0, 101]:
        error = refused(lambda: intents.list({"limit": limit}), stripe.InvalidRequestError)
        same(
            (error.http_status, error.code, error.param),
            (400, "parameter_invalid_integer", "limit"),
        )
    lost = {"starting_after": "pi_nowhere"}
    error = refused(lambda: intents.list(lost), stripe.InvalidRequestError)
    same((error.code, error.param), ("resource_missing", "starting_after"))


SCENARIOS = {
    "a charge is read, described and listed": charges,
    "charges are found by their metadata and their card": charges_searched,
    "an intent is read with its charge, balance transaction, method and customer": expanded,
    "a list is read with its charges": list_expanded,
    "what cannot be expanded is refused": not_expanded,
    "intents are found by their metadata, page by page": searched,
    "intents are listed by time and by customer": by_time,
    "lists keep to their limits": limits,
}
