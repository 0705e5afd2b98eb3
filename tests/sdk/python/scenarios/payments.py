"""A payment from its creation to its success or refusal."""

import re

import stripe
from world import plain, refused, same

# Number, code, decline code and text of cards that issuers refuse.
DECLINED = [
    ("4000000000000002", "card_declined", "generic_decline", "Your card was declined."),
    ("4000000000009995", "card_declined", "insufficient_funds", "Your card has insufficient funds."),
    ("4000000000009987", "card_declined", "lost_card", "Your card was declined."),
    ("4000000000000069", "expired_card", "expired_card", "Your card has expired."),
    ("4000000000000127", "incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
]


def card(number):
    return {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}}


def created(world):
    metadata = {"cart": "17", "note": "ÄÖÜ & co"}
    intent = world.stripe.payment_intents.create(
        {
            "amount": 2000,
            "currency": "usd",
            "description": "Two tickets",
            "receipt_email": "payer@example.com",
            "metadata": metadata,
        }
    )
    assert re.match(r"pi_\w+$", intent.id)
    assert type(intent) is stripe.PaymentIntent
    same(intent.amount, 2000)
    same(intent.currency, "usd")
    same(intent.status, "requires_payment_method")
    same(intent.description, "Two tickets")
    same(intent.receipt_email, "payer@example.com")
    same(plain(intent.metadata), metadata)
    same(intent.latest_charge, None)
    assert intent.client_secret.startswith(f"{intent.id}_secret_")
    same(intent.last_response.code, 200)
    assert re.match(r"req_\w+$", intent.last_response.request_id)
    same(world.stripe.payment_intents.retrieve(intent.id), intent)


def created_and_confirmed(world):
    intent = world.paid(1099)
    same(intent.status, "succeeded")
    same(intent.amount_received, 1099)
    same(intent.amount_capturable, 0)
    charge = world.stripe.charges.retrieve(intent.latest_charge)
    assert type(charge) is stripe.Charge
    same((charge.amount, charge.captured, charge.paid), (1099, True, True))
    same(charge.payment_intent, intent.id)
    same(charge.payment_method_details.card.last4, "4242")


def updated_and_confirmed(world):
    intents = world.stripe.payment_intents
    made = intents.create(
        {
            "amount": 2000,
            "currency": "eur",
            "metadata": {"kept": "yes", "gone": "soon"},
            "payment_method_types": ["card"],
        }
    )
    changed = intents.update(
        made.id,
        {
            "amount": 2500,
            "description": "Two and a half tickets",
            "metadata": {"gone": "", "added": "late"},
        },
    )
    same((changed.amount, changed.status), (2500, "requires_payment_method"))
    same(plain(changed.metadata), {"kept": "yes", "added": "late"})
    method = world.stripe.payment_methods.create(card("4242424242424242"))
    armed = intents.update(made.id, {"payment_method": method.id})
    same((armed.status, armed.payment_method), ("requires_confirmation", method.id))
    done = intents.confirm(made.id)
    same((done.status, done.amount_received, done.currency), ("succeeded", 2500, "eur"))
    same(done.description, "Two and a half tickets")


def confirmed_with_card(world):
    intents = world.stripe.payment_intents
    made = intents.create({"amount": 500, "currency": "usd", "payment_method_types": ["card"]})
    done = intents.confirm(
        made.id, {"payment_method_data": card("5555555555554444"), "expand": ["payment_method"]}
    )
    same(done.status, "succeeded")
    same(done.payment_method.card.brand, "mastercard")
    same(done.payment_method.card.last4, "4444")


def declined(world):
    for number, code, decline_code, message in DECLINED:
        method = world.stripe.payment_methods.create(card(number))
        made = world.stripe.payment_intents.create(
            {
                "amount": 2000,
                "currency": "usd",
                "payment_method": method.id,
                "payment_method_types": ["card"],
            }
        )
        error = refused(lambda: world.stripe.payment_intents.confirm(made.id), stripe.CardError)
        same(error.http_status, 402)
        same(error.code, code)
        same(error.user_message, message)
        same(error.error.decline_code, decline_code)
        same(error.error.payment_intent.id, made.id)
        same(error.error.payment_intent.status, "requires_payment_method")
        same(error.error.payment_intent.last_payment_error.code, code)
        same(error.error.payment_method.id, method.id)
        assert re.match(r"req_\w+$", error.request_id)
        charge = world.stripe.charges.retrieve(error.error.charge)
        same((charge.status, charge.failure_code), ("failed", code))


def declined_then_paid(world):
    intents = world.stripe.payment_intents
    error = refused(
        lambda: world.paid(3000, payment_method="pm_card_chargeDeclined"), stripe.CardError
    )
    intent = intents.retrieve(error.error.payment_intent.id)
    same((intent.status, intent.amount_received), ("requires_payment_method", 0))
    done = intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    same((done.status, done.amount_received), ("succeeded", 3000))
    same(done.last_payment_error, None)
    charges = world.stripe.charges.list({"payment_intent": intent.id})
    same([it.status for it in charges.data], ["succeeded", "failed"])


def impossible_card(world):
    cases = [
        ({"number": "4242424242424241"}, "incorrect_number", "number"),
        ({"exp_month": 13}, "invalid_expiry_month", "exp_month"),
        ({"exp_year": 2001}, "invalid_expiry_year", "exp_year"),
        ({"cvc": "12"}, "invalid_cvc", "cvc"),
    ]
    for wrong, code, param in cases:
        params = card("4242424242424242")
        params["card"].update(wrong)
        error = refused(lambda: world.stripe.payment_methods.create(params), stripe.CardError)
        same((error.http_status, error.code, error.param), (402, code, param))


def processing(world):
    intents = world.stripe.payment_intents
    good = world.paid(700, payment_method="pm_card_simProcessing")
    bad = world.paid(800, payment_method="pm_card_simProcessingDeclined")
    same((good.status, bad.status), ("processing", "processing"))
    world.settle()
    same(intents.retrieve(good.id).status, "succeeded")
    after = intents.retrieve(bad.id)
    same(after.status, "requires_payment_method")
    same(after.last_payment_error.code, "card_declined")


SCENARIOS = {
    "a payment is created and waits for its method": created,
    "a payment is created and confirmed in one step": created_and_confirmed,
    "a payment is updated, given a method and confirmed": updated_and_confirmed,
    "a payment is confirmed with the data of a card": confirmed_with_card,
    "a declined card is a card error with the intent inside": declined,
    "a payment declined at its creation can be paid with another card": declined_then_paid,
    "a card that cannot be is refused before anything is made": impossible_card,
    "a payment that is processing succeeds or fails later": processing,
}
