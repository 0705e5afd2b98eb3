"""Capture, cancellation, and the steps that a state does not allow."""

import stripe
from world import plain, refused, same


def impossible(step, intent, status):
    """The step has to be refused, and the error to hold the intent as it stands."""
    error = refused(step, stripe.InvalidRequestError)
    same((error.http_status, error.code), (400, "payment_intent_unexpected_state"))
    same((error.error.payment_intent.id, error.error.payment_intent.status), (intent.id, status))


def captured(world):
    held = world.held(4000)
    same(held.status, "requires_capture")
    same((held.amount_capturable, held.amount_received), (4000, 0))
    done = world.stripe.payment_intents.capture(held.id)
    same((done.status, done.amount_capturable, done.amount_received), ("succeeded", 0, 4000))


def captured_in_part(world):
    intents = world.stripe.payment_intents
    held = world.held(4000)
    done = intents.capture(held.id, {"amount_to_capture": 1500, "metadata": {"parcel": "1"}})
    same((done.status, done.amount, done.amount_received), ("succeeded", 4000, 1500))
    same(done.metadata["parcel"], "1")
    same(world.stripe.charges.retrieve(done.latest_charge).amount_captured, 1500)
    impossible(lambda: intents.capture(held.id), held, "succeeded")


def captured_too_much(world):
    intents = world.stripe.payment_intents
    held = world.held(4000)
    error = refused(
        lambda: intents.capture(held.id, {"amount_to_capture": 4001}), stripe.InvalidRequestError
    )
    same(
        (error.http_status, error.code, error.param), (400, "amount_too_large", "amount_to_capture")
    )
    same(intents.retrieve(held.id).status, "requires_capture")


def cancelled(world):
    intents = world.stripe.payment_intents
    for reason in ["duplicate", "fraudulent", "requested_by_customer", "abandoned"]:
        intent = intents.create({"amount": 900, "currency": "usd"})
        gone = intents.cancel(intent.id, {"cancellation_reason": reason})
        same((gone.status, gone.cancellation_reason), ("canceled", reason))
        assert gone.canceled_at >= intent.created


def cancelled_while_held(world):
    held = world.held(4000)
    gone = world.stripe.payment_intents.cancel(held.id)
    same((gone.status, gone.amount_capturable, gone.amount_received), ("canceled", 0, 0))
    charge = world.stripe.charges.retrieve(held.latest_charge)
    same((charge.captured, charge.amount_captured), (False, 0))


def wrong_reason(world):
    intents = world.stripe.payment_intents
    intent = intents.create({"amount": 900, "currency": "usd"})
    error = refused(
        lambda: intents.cancel(intent.id, {"cancellation_reason": "bored"}),
        stripe.InvalidRequestError,
    )
    same(error.param, "cancellation_reason")
    same(intents.retrieve(intent.id).status, "requires_payment_method")


def illegal(world):
    intents = world.stripe.payment_intents
    fresh = intents.create({"amount": 900, "currency": "usd"})
    impossible(lambda: intents.capture(fresh.id), fresh, "requires_payment_method")
    paid = world.paid(900)
    impossible(lambda: intents.confirm(paid.id), paid, "succeeded")
    impossible(lambda: intents.capture(paid.id), paid, "succeeded")
    impossible(lambda: intents.cancel(paid.id), paid, "succeeded")
    impossible(lambda: intents.update(paid.id, {"amount": 901}), paid, "succeeded")
    gone = intents.cancel(fresh.id)
    visa = {"payment_method": "pm_card_visa"}
    impossible(lambda: intents.confirm(gone.id, visa), gone, "canceled")
    impossible(lambda: intents.cancel(gone.id), gone, "canceled")
    impossible(lambda: intents.update(gone.id, {"description": "too late"}), gone, "canceled")
    held = world.held(900)
    impossible(lambda: intents.update(held.id, {"amount": 901}), held, "requires_capture")
    impossible(lambda: intents.confirm(held.id), held, "requires_capture")


def described(world):
    paid = world.paid(900)
    changed = world.stripe.payment_intents.update(
        paid.id, {"description": "Sent on Monday", "metadata": {"parcel": "7"}}
    )
    same((changed.status, changed.description), ("succeeded", "Sent on Monday"))
    same(plain(changed.metadata), {"parcel": "7"})


SCENARIOS = {
    "a held payment is captured whole": captured,
    "a held payment is captured in part, and the rest is released": captured_in_part,
    "more than is held cannot be captured": captured_too_much,
    "a payment is cancelled with each reason": cancelled,
    "a held payment is cancelled, and nothing is taken": cancelled_while_held,
    "a reason for cancelling that is none is refused": wrong_reason,
    "steps that a state does not allow are refused with the intent inside": illegal,
    "what was paid can still be described": described,
}
