"""3-D Secure: the payer is led to a page, and comes back."""

import urllib.parse

import stripe
from world import Receiver, fetch, post_form, refused, same


def authenticate(intent, outcome):
    """Presses a button on the page that the payer is led to, as a browser without JavaScript, and comes back."""
    same((intent.status, intent.next_action.type), ("requires_action", "redirect_to_url"))
    url = intent.next_action.redirect_to_url.url
    status, page = fetch(url)
    same(status, 200)
    assert "3-D Secure" in page
    same(post_form(url, outcome=outcome)[0], 200)


def comeback(shop):
    """What the shop was told when the payer came back."""
    method, path, _, _ = shop.arrivals[-1]
    same(method, "GET")
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))


def asks(world, shop, take, **more):
    """A payment that waits for the payer."""
    return take(
        2200,
        payment_method="pm_card_threeDSecure2Required",
        return_url=f"{shop.url}/back?cart=17",
        **more,
    )


def passed(world):
    with Receiver() as shop:
        intent = asks(world, shop, world.paid)
        same(intent.next_action.redirect_to_url.return_url, f"{shop.url}/back?cart=17")
        authenticate(intent, "complete")
        same(
            comeback(shop),
            {
                "cart": "17",
                "payment_intent": intent.id,
                "payment_intent_client_secret": intent.client_secret,
                "redirect_status": "succeeded",
            },
        )
    done = world.stripe.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    same((done.status, done.amount_received, done.next_action), ("succeeded", 2200, None))
    secure = done.latest_charge.payment_method_details.card.three_d_secure
    same(secure.result, "authenticated")


def failed(world):
    with Receiver() as shop:
        intent = asks(world, shop, world.paid)
        authenticate(intent, "fail")
        same(comeback(shop)["redirect_status"], "failed")
    intents = world.stripe.payment_intents
    after = intents.retrieve(intent.id)
    same(after.status, "requires_payment_method")
    same(after.last_payment_error.code, "payment_intent_authentication_failure")
    done = intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    same(done.status, "succeeded")


def passed_and_held(world):
    with Receiver() as shop:
        intent = asks(world, shop, world.held)
        authenticate(intent, "complete")
    intents = world.stripe.payment_intents
    same(intents.retrieve(intent.id).status, "requires_capture")
    done = intents.capture(intent.id)
    same((done.status, done.amount_received), ("succeeded", 2200))


def off_session(world):
    error = refused(
        lambda: world.paid(2200, payment_method="pm_card_authenticationRequired", off_session=True),
        stripe.CardError,
    )
    same(error.code, "authentication_required")
    same(error.error.payment_intent.status, "requires_payment_method")


SCENARIOS = {
    "a payer who passes 3-D Secure comes back, and has paid": passed,
    "a payer who fails 3-D Secure comes back, and can try another card": failed,
    "a held payment that asked for 3-D Secure is captured afterwards": passed_and_held,
    "a payment that may ask for nothing is refused where the card asks": off_session,
}
