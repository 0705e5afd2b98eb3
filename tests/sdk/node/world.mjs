// What every scenario stands on: the vendor's client, the simulator's handles, and how to wait and to be refused.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import Stripe from 'stripe';

/** How long a scenario waits for what must come. Reached only where something is broken. */
const PATIENCE_MS = 20_000;

/** A variable that the caller of this program has to set. */
function given(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

export class World {
  constructor() {
    this.base = new URL(given('SDK_BASE'));
    this.admin = new URL(given('SDK_ADMIN'));
    this.account = given('SDK_ACCOUNT');
    this.stripe = this.client(given('SDK_SECRET_KEY'));
    this.browser = this.client(given('SDK_PUBLISHABLE_KEY'));
  }

  /** The vendor's client with another key. It asks once: what is tested is the answer, not the asking again. */
  client(key) {
    return new Stripe(key, {
      protocol: 'http',
      host: this.base.hostname,
      port: this.base.port,
      maxNetworkRetries: 0,
      telemetry: false,
    });
  }

  /** One of the simulator's own handles. */
  async sim(method, path, body) {
    const request = { method };
    if (body !== undefined) {
      request.body = JSON.stringify(body);
      request.headers = { 'content-type': 'application/json' };
    }
    const answer = await fetch(new URL(path, this.admin), request);
    const text = await answer.text();
    assert.ok(answer.ok, `${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  /** Lets Stripe do now what it does later: book, turn refunds, dispute, decide. */
  async settle() {
    await this.sim('POST', 'settle', { account: this.account });
  }

  /** A payment that succeeded at once. */
  paid(amount, more = {}) {
    return this.stripe.paymentIntents.create({
      amount,
      currency: 'usd',
      confirm: true,
      payment_method: 'pm_card_visa',
      payment_method_types: ['card'],
      ...more,
    });
  }

  /** A payment that is held, and waits for its capture. */
  held(amount, more = {}) {
    return this.paid(amount, { capture_method: 'manual', ...more });
  }
}

/** Asks until the answer is something; ends as soon as it is. */
export async function until(what, ask) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await ask();
    if (found) {
      return found;
    }
    assert.ok(Date.now() < end, `waited too long: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The error of a call that has to be refused with one of the client's classes. */
export async function refused(promise, type) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    assert.equal(error.type, type, error.stack);
    assert.ok(error instanceof Stripe.errors[type], `it is no ${type}`);
    return error;
  }
  return assert.fail(`${type} was expected, and it was answered ${JSON.stringify(answer)}`);
}

/** A text that no other run has used. */
export function unique(prefix) {
  return `${prefix}-${crypto.randomUUID()}`;
}

/** A little server that keeps what it is sent: `arrivals` hold `{method, url, headers, body}`. */
export async function receiver() {
  const arrivals = [];
  const server = http.createServer((request, answer) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      arrivals.push({ method: request.method, url: request.url, headers: request.headers, body });
      answer.end('ok');
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    arrivals,
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
