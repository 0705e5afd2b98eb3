"""Checkout: a page of its own, paid once or expired."""

import stripe
from world import Receiver, fetch, plain, post_form, refused, same

ITEMS = [
    {
        "quantity": quantity,
        "price_data": {
            "currency": "sek",
            "unit_amount": unit_amount,
            "product_data": {"name": name},
        },
    }
    for quantity, unit_amount, name in [(2, 25000, "Haircut"), (1, 10000, "Beard")]
]
GUEST = {"action": "pay", "email": "guest@example.com", "method": "pm_card_visa"}


def session(world, **more):
    params = {
        "mode": "payment",
        "line_items": ITEMS,
        "success_url": "https://shop.example/thanks?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.example/back",
    }
    return world.stripe.checkout.sessions.create({**params, **more})


def created(world):
    sessions = world.stripe.checkout.sessions
    customer = world.stripe.customers.create({"name": "Guest", "email": "guest@example.com"})
    made = session(
        world,
        customer=customer.id,
        client_reference_id="booking-5",
        metadata={"booking": "5"},
    )
    assert type(made) is stripe.checkout.Session
    same((made.status, made.payment_status), ("open", "unpaid"))
    same((made.amount_total, made.currency), (60000, "sek"))
    same(made.client_reference_id, "booking-5")
    same(made.expires_at - made.created, 24 * 3600)
    read = sessions.retrieve(made.id, {"expand": ["line_items"]})
    same([it.description for it in read.line_items.data], ["Haircut", "Beard"])
    items = sessions.line_items.list(made.id, {"limit": 1})
    same((items.has_more, items.data[0].quantity), (True, 2))
    same(items.data[0].amount_total, 50000)
    rest = sessions.line_items.list(made.id, {"starting_after": items.data[0].id})
    same((rest.has_more, rest.data[0].price.unit_amount), (False, 10000))
    listed = sessions.list({"customer": customer.id, "status": "open"})
    same([it.id for it in listed.data], [made.id])


def paid(world):
    sessions = world.stripe.checkout.sessions
    with Receiver() as shop:
        made = session(
            world,
            success_url=shop.url + "/thanks?session={CHECKOUT_SESSION_ID}",
            cancel_url=shop.url + "/back",
            payment_intent_data={"description": "Booking 5", "metadata": {"booking": "5"}},
        )
        assert "Haircut" in fetch(made.url)[1]
        same(post_form(made.url, **GUEST)[0], 200)
        same(shop.arrivals[-1][1], f"/thanks?session={made.id}")
    done = sessions.retrieve(made.id, {"expand": ["payment_intent"]})
    same((done.status, done.payment_status), ("complete", "paid"))
    same(done.customer_details.email, "guest@example.com")
    intent = done.payment_intent
    same((intent.status, intent.amount_received), ("succeeded", 60000))
    same((intent.description, plain(intent.metadata)), ("Booking 5", {"booking": "5"}))
    late = refused(lambda: sessions.expire(made.id), stripe.InvalidRequestError)
    same(late.http_status, 400)
    refund = world.stripe.refunds.create({"payment_intent": intent.id, "amount": 10000})
    same((refund.amount, refund.status), (10000, "succeeded"))


def expired(world):
    sessions = world.stripe.checkout.sessions
    made = session(world)
    gone = sessions.expire(made.id)
    same((gone.status, gone.url), ("expired", None))
    same(post_form(made.url, **GUEST)[0], 410)
    twice = refused(lambda: sessions.expire(made.id), stripe.InvalidRequestError)
    same(twice.http_status, 400)
    same(sessions.retrieve(made.id).payment_status, "unpaid")


def embedded(world):
    made = world.stripe.checkout.sessions.create(
        {
            "mode": "payment",
            "ui_mode": "embedded",
            "line_items": ITEMS,
            "return_url": "https://shop.example/thanks?session={CHECKOUT_SESSION_ID}",
        }
    )
    same((made.url, made.ui_mode), (None, "embedded"))
    assert isinstance(made.client_secret, str)


def incomplete(world):
    params = {"mode": "payment", "success_url": "https://a.example"}
    error = refused(
        lambda: world.stripe.checkout.sessions.create(params), stripe.InvalidRequestError
    )
    same((error.code, error.param), ("parameter_missing", "line_items"))


SCENARIOS = {
    "a session is created, read and listed with its items": created,
    "a session is paid on its page, and its intent has succeeded": paid,
    "a session expires, and cannot be paid": expired,
    "an embedded session has a secret in place of a page": embedded,
    "a session that lacks what it needs is refused": incomplete,
}
