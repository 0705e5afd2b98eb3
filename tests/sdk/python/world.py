"""What every scenario stands on: the vendor's client, the simulator's handles, and how to wait and to be refused."""

import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import stripe

# How long a scenario waits for what must come, in seconds. Reached only where something is broken.
PATIENCE_S = 20


def given(name):
    """A variable that the caller of this program has to set."""
    value = os.environ.get(name)
    assert value, f"{name} is not set"
    return value


class World:
    def __init__(self):
        self.base = given("SDK_BASE")
        self.admin = given("SDK_ADMIN")
        self.account = given("SDK_ACCOUNT")
        self.stripe = self.client(given("SDK_SECRET_KEY"))
        self.browser = self.client(given("SDK_PUBLISHABLE_KEY"))

    def client(self, key):
        """The vendor's client with another key. It asks once: what is tested is the answer, not the asking again."""
        client = stripe.StripeClient(
            key, base_addresses={"api": self.base}, max_network_retries=0
        )
        return client.v1

    def sim(self, method, path, body=None):
        """One of the simulator's own handles."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.admin + path,
            method=method,
            data=data,
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def settle(self):
        """Lets Stripe do now what it does later: book, turn refunds, dispute, decide."""
        self.sim("POST", "settle", {"account": self.account})

    def paid(self, amount, **more):
        """A payment that succeeded at once."""
        params = {
            "amount": amount,
            "currency": "usd",
            "confirm": True,
            "payment_method": "pm_card_visa",
            "payment_method_types": ["card"],
        }
        return self.stripe.payment_intents.create({**params, **more})

    def held(self, amount, **more):
        """A payment that is held, and waits for its capture."""
        return self.paid(amount, capture_method="manual", **more)


def until(what, ask):
    """Asks until the answer is something; ends as soon as it is."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = ask()
        if found:
            return found
        assert time.monotonic() < end, f"waited too long: {what}"
        time.sleep(0.02)


def refused(ask, kind):
    """The error of a call that has to be refused with one of the client's classes, and no other."""
    try:
        answer = ask()
    except stripe.StripeError as error:
        assert type(error) is kind, f"it is a {type(error).__name__}: {error}"
        return error
    raise AssertionError(f"{kind.__name__} was expected, and it was answered {answer}")


def same(found, expected):
    """The two are equal; says what they are where they are not."""
    assert found == expected, f"{found!r} is not {expected!r}"


def plain(metadata):
    """Pairs of the client's own kind as a dict."""
    return metadata.to_dict()


def unique(prefix):
    """A text that no other run has used."""
    return f"{prefix}-{uuid.uuid4()}"


def post_form(url, **fields):
    """Sends a form as a browser does, and follows to where it leads. Answers status and body."""
    data = urllib.parse.urlencode(fields).encode()
    return fetch(urllib.request.Request(url, method="POST", data=data))


def fetch(request):
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Receiver:
    """A little server that keeps what it is sent: `arrivals` hold (method, path, headers, body)."""

    def __enter__(self):
        self.arrivals = arrivals = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length).decode()
                arrivals.append((self.command, self.path, self.headers, body))
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = answer

            def log_message(self, *_):
                """Says nothing: the scenarios speak."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
