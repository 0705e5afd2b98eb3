"""The same key again: the same answer, another request's refusal, or a request that is still running."""

from concurrent.futures import ThreadPoolExecutor

import stripe
from world import refused, same, unique, until

PARAMS = {"amount": 1500, "currency": "usd"}


def key(prefix):
    return {"idempotency_key": unique(prefix)}


def replayed(answer):
    return answer.last_response.headers.get("idempotent-replayed")


def creation(world):
    create, options = world.stripe.payment_intents.create, key("create")
    params = {**PARAMS, "metadata": {"cart": "3"}}
    first, second = create(params, options), create(params, options)
    same((replayed(first), replayed(second)), (None, "true"))
    same(second, first)
    same(second.last_response.idempotency_key, options["idempotency_key"])
    assert second.last_response.request_id != first.last_response.request_id


def as_it_was(world):
    intents, options = world.stripe.payment_intents, key("then")
    first = intents.create(PARAMS, options)
    intents.cancel(first.id)
    second = intents.create(PARAMS, options)
    same((second.id, second.status), (first.id, "requires_payment_method"))
    same(intents.retrieve(first.id).status, "canceled")


def refund(world):
    paid, options = world.paid(2000), key("refund")
    params = {"payment_intent": paid.id, "amount": 400}
    first = world.stripe.refunds.create(params, options)
    second = world.stripe.refunds.create(params, options)
    same((second.id, replayed(second)), (first.id, "true"))
    same(world.stripe.charges.retrieve(paid.latest_charge).amount_refunded, 400)


def decline(world):
    options = key("decline")
    params = {
        **PARAMS,
        "confirm": True,
        "payment_method": "pm_card_chargeDeclined",
        "payment_method_types": ["card"],
    }
    first, second = (
        refused(lambda: world.stripe.payment_intents.create(params, options), stripe.CardError)
        for _ in range(2)
    )
    same((second.code, second.error.charge), ("card_declined", first.error.charge))
    same(second.error.payment_intent.id, first.error.payment_intent.id)
    same(second.headers.get("idempotent-replayed"), "true")


def customer(world):
    create, options = world.stripe.customers.create, key("customer")
    params = {"name": "Only One", "metadata": {"n": "1"}}
    first, second = create(params, options), create(params, options)
    same((second.id, replayed(second)), (first.id, "true"))


def mismatch(world):
    create, options = world.stripe.payment_intents.create, key("other")
    create(PARAMS, options)
    other = {**PARAMS, "amount": 1501}
    error = refused(lambda: create(other, options), stripe.IdempotencyError)
    same(error.http_status, 400)
    assert options["idempotency_key"] in str(error)
    elsewhere = refused(
        lambda: world.stripe.customers.create({"name": "Nobody"}, options), stripe.IdempotencyError
    )
    same(elsewhere.http_status, 400)


def not_kept(world):
    create, options = world.stripe.payment_intents.create, key("free")
    small = {**PARAMS, "amount": 1}
    refused(lambda: create(small, options), stripe.InvalidRequestError)
    made = create(PARAMS, options)
    same((made.amount, replayed(made)), (1500, None))


def in_use(world):
    create, options = world.stripe.payment_intents.create, key("running")
    fault = {
        "kind": "hold_before",
        "method": "POST",
        "path_prefix": "/v1/payment_intents",
        "account": world.account,
    }
    world.sim("POST", "faults", fault)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(create, PARAMS, options)
        try:
            until("the request is held", lambda: world.sim("GET", "faults")["held"] == 1)
            # The client keeps its own class for the 400 of other parameters.
            error = refused(lambda: create(PARAMS, options), stripe.APIError)
            same((error.http_status, error.error.code), (409, "idempotency_key_in_use"))
        finally:
            world.sim("POST", "faults/release")
        made = running.result()
    again = create(PARAMS, options)
    same((again.id, replayed(again)), (made.id, "true"))


SCENARIOS = {
    "a repeated creation is answered with the same intent": creation,
    "a repeated answer tells how it was then": as_it_was,
    "a repeated refund is one refund": refund,
    "a repeated decline is the same decline": decline,
    "a repeated customer is one customer": customer,
    "a key with other parameters is an idempotency error": mismatch,
    "a refusal for a wrong parameter is not kept under the key": not_kept,
    "a key whose request is still running is in use": in_use,
}
