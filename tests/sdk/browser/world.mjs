// What every scenario stands on: a browser, a shop of ours that payers come from and go back to, and the checkout's door.
import assert from 'node:assert/strict';
import http from 'node:http';
import puppeteer from 'puppeteer-core';

/** How long a scenario waits for what must come. Reached only where something is broken. */
const PATIENCE_MS = 20_000;
const COMPANY = '11111111-1111-1111-1111-111111111111';
const PATH = '/payment/stripe/v1/checkout';

/** What a payer types, unless a scenario says otherwise. */
const CARD = { 'E-mail': 'ada@example.com', 'Expiry (MM / YY)': '12 / 40', 'Security code (CVC)': '123' };

/** A shop's site: any path answers with its own name; `/embedding` holds what it is given in a frame. */
async function shop() {
  const site = http.createServer((request, answer) => {
    const url = new URL(request.url, 'http://shop');
    const framed = url.searchParams.get('frame');
    const frame = framed ? `<iframe title="Checkout" width="600" height="900" src="${framed}"></iframe>` : '';
    answer.setHeader('content-type', 'text/html');
    answer.end(`<!doctype html><title>Shop ${url.pathname}</title><h1>Shop</h1>${frame}`);
  });
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  return { site, url: `http://127.0.0.1:${site.address().port}` };
}

export class World {
  static async start() {
    const world = new World();
    world.shop = await shop();
    world.browser = await puppeteer.launch({
      executablePath: process.env.SDK_BROWSER,
      headless: true,
      // What is tested is no stranger's page, and where these tests run there may be no user but root.
      args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    });
    return world;
  }

  async stop() {
    await this.browser.close();
    this.shop.site.closeAllConnections();
    this.shop.site.close();
  }

  async ask(path, body) {
    const answer = await fetch(process.env.SDK_BASE + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-api-key': process.env.SDK_API_KEY,
        authorization: `Bearer ${process.env.SDK_TOKEN}`,
      },
      body: JSON.stringify({ CompanyId: COMPANY, ...body }),
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return JSON.parse(text);
  }

  /** Opens a checkout of 600.00 SEK. */
  open(reference, more = {}) {
    return this.ask(PATH, {
      CountryCode: 'SE',
      Articles: [{ ArticleId: 1, Quantity: 2 }, { ArticleId: 2 }],
      InternalReferenceId: reference,
      ConfirmationUrl: `${this.shop.url}/done?session={CHECKOUT_SESSION_ID}`,
      CancelUrl: `${this.shop.url}/back`,
      UiMode: 'hosted',
      ...more,
    });
  }

  async status(session) {
    return (await this.ask(`${PATH}/status`, { SessionId: session })).Status;
  }

  /** The address of an embedded checkout's frame: beside the simulator's own handles. */
  frame(secret) {
    return new URL(`checkout/${secret}`, process.env.SDK_ADMIN).href;
  }

  /** A tab, without scripts; whatever the browser complains about is an error. */
  async tab(work) {
    const tab = await this.browser.newPage();
    const complaints = [];
    tab.setDefaultTimeout(PATIENCE_MS);
    tab.on('console', (said) => {
      // That an answer was a 402 or a 410 is meant.
      const meant = said.text().includes('status of 4') || said.location().url?.endsWith('/favicon.ico');
      if (['error', 'warn'].includes(said.type()) && !meant) {
        complaints.push(said.text());
      }
    });
    await tab.setJavaScriptEnabled(false);
    try {
      const done = await work(tab);
      assert.deepEqual(complaints, [], 'the browser complains');
      return done;
    } finally {
      await tab.close();
    }
  }
}

/** The control that a screen reader would call so. */
export function control(place, role, name) {
  return place.waitForSelector(`::-p-aria([name="${name}"][role="${role}"])`, { timeout: PATIENCE_MS });
}

/** Waits until something has the focus: a browser gives it when it first draws a page, which may be after it has loaded it. */
export async function focus(tab) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await tab.evaluate(() => document.activeElement !== document.body))) {
    assert.ok(Date.now() < end, 'nothing has the focus');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Types into the field with this label, over what it holds. */
export async function type(place, label, text) {
  const field = await control(place, 'textbox', label);
  await field.click({ count: 3 });
  await field.press('Backspace');
  await field.type(text);
}

/** Follows what is called so, and waits for the page that it leads to. */
export async function follow(tab, role, name) {
  const it = await control(tab, role, name);
  await Promise.all([tab.waitForNavigation(), it.click()]);
}

/** Fills in the form with a card. */
export async function fill(place, number) {
  for (const [label, text] of Object.entries({ ...CARD, 'Card number': number })) {
    await type(place, label, text);
  }
}

/** The same, and pays. */
export async function pay(tab, number) {
  await fill(tab, number);
  await follow(tab, 'button', 'Pay SEK 600.00');
}

/** What the page says, as a payer reads it. */
export function words(place) {
  return place.$eval('body', (it) => it.innerText);
}
