"""Endpoints, and deliveries verified with the client's own code."""

import time

import stripe
from world import Receiver, plain, refused, same, until

# Older than this many seconds, a delivery is refused.
TOLERANCE_S = 300


def endpoints(world):
    endpoints = world.stripe.webhook_endpoints
    made = endpoints.create(
        {
            "url": "http://127.0.0.1:9/hook",
            "enabled_events": ["payment_intent.succeeded", "refund.created"],
            "description": "Mine",
            "metadata": {"a": "1"},
        }
    )
    assert type(made) is stripe.WebhookEndpoint
    assert made.id.startswith("we_") and made.secret.startswith("whsec_")
    same((made.status, made.description), ("enabled", "Mine"))
    same(made.enabled_events, ["payment_intent.succeeded", "refund.created"])
    assert "secret" not in endpoints.retrieve(made.id)
    changed = endpoints.update(
        made.id, {"url": "http://127.0.0.1:9/other", "enabled_events": ["*"], "disabled": True}
    )
    same((changed.url, changed.status), ("http://127.0.0.1:9/other", "disabled"))
    same(changed.enabled_events, ["*"])
    assert any(it.id == made.id for it in endpoints.list({"limit": 100}).data)
    same(endpoints.delete(made.id).deleted, True)
    error = refused(lambda: endpoints.retrieve(made.id), stripe.InvalidRequestError)
    same((error.http_status, error.code), (404, "resource_missing"))


def forged(body, header, secret):
    try:
        stripe.Webhook.construct_event(body, header, secret, tolerance=TOLERANCE_S)
    except stripe.SignatureVerificationError as error:
        return str(error)
    raise AssertionError("a forged delivery was taken for a true one")


def verified(world):
    with Receiver() as shop:
        endpoint = world.stripe.webhook_endpoints.create(
            {"url": f"{shop.url}/hook", "enabled_events": ["payment_intent.succeeded"]}
        )
        paid = world.paid(3100, metadata={"cart": "8"})
        method, path, headers, body = until(
            "the delivery arrives",
            lambda: next((it for it in shop.arrivals if paid.id in it[3]), None),
        )
        world.stripe.webhook_endpoints.delete(endpoint.id)
    same((method, path), ("POST", "/hook"))
    signature = headers["stripe-signature"]
    event = stripe.Webhook.construct_event(body, signature, endpoint.secret, TOLERANCE_S)
    assert isinstance(event, stripe.Event)
    same(event.type, "payment_intent.succeeded")
    intent = event.data.object
    same((intent["id"], intent["amount_received"]), (paid.id, 3100))
    same(plain(intent["metadata"]), {"cart": "8"})

    tampered = body.replace("3100", "1300")
    assert tampered != body
    assert "No signatures found" in forged(tampered, signature, endpoint.secret)
    assert "No signatures found" in forged(body, signature, "whsec_of_another")
    long_ago = int(time.time()) - TOLERANCE_S - 1
    mac = stripe.WebhookSignature._compute_signature(f"{long_ago}.{body}", endpoint.secret)
    assert "outside the tolerance" in forged(body, f"t={long_ago},v1={mac}", endpoint.secret)


SCENARIOS = {
    "an endpoint is created, read, changed, listed and deleted": endpoints,
    "a delivery is verified, and a forged one is not": verified,
}
